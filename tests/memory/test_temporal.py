"""Questions of time are answered in SQL over a copy, and a question reaches nothing else."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from anima.errors import UsageError
from anima.memory import Memory

from .conftest import Ticking
from .samples import lived

pytest.importorskip("duckdb")


@pytest.fixture
def lived_in(shelf: Path, clock: Ticking) -> Memory:
    lived(shelf / "memory.sqlite", clock)
    return Memory.open(shelf / "memory.sqlite", clock=clock)


def test_a_question_of_time_is_answered(lived_in: Memory) -> None:
    answer = lived_in.sql(
        "SELECT a.text, b.text FROM lines a JOIN lines b ON b.seq > a.seq AND b.in_force "
        "WHERE a.in_force AND a.kind = 'line' AND b.kind = 'line' "
        "AND a.timestamp >= TIMESTAMP '2026-11-22 00:00:00'"
    )

    assert answer.columns == ["text", "text"]
    assert answer.rows == [("My name is Ada", "Tomorrow I fly to Rome")]
    lived_in.close()


def test_the_copy_has_every_record_as_it_is(lived_in: Memory) -> None:
    answer = lived_in.sql(
        "SELECT seq, kind, timestamp, text, context->>'session' FROM lines ORDER BY seq"
    )

    assert [row[1] for row in answer.rows] == ["line", "line", "line", "pop", "erase", "line"]
    assert answer.rows[0][2].replace(tzinfo=UTC) == lived_in.line(1).timestamp
    assert answer.rows[0][3:] == ("My name is Ada", "s1")
    assert answer.rows[1][3:] == (None, None)
    assert isinstance(answer.rows[0][2], datetime)
    lived_in.close()


@pytest.mark.parametrize(
    "question",
    [
        "DELETE FROM lines",
        "SELECT 1; SELECT 2",
        "",
        "SELECT nothing FROM lines",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "COPY lines TO '/tmp/lines.csv'",
        "ATTACH '/tmp/other.duckdb'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ],
)
def test_anything_but_one_select_is_refused(lived_in: Memory, question: str) -> None:
    with pytest.raises(UsageError, match=r"SELECT|cannot be answered"):
        lived_in.sql(question)
    lived_in.close()

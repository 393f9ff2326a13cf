"""Questions in SQL over a copy of the lines, answered by DuckDB; knows no ledger and changes none.

The copy is one table, `lines`: seq, anchor, kind, role, timestamp (in UTC), target, note,
text, context (JSON), novelty, valence, in_force, valid_from, valid_to. A line holds from the one to
the other, which is null while any of it holds; both are null for a record of another kind. It lies in memory, whatever the ledger is and
whether or not that is encrypted, and a question can reach neither files nor the network.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from anima.errors import UsageError
from anima.memory.line import LINE, Line, context_text

_TABLE = (
    "CREATE TABLE lines (seq BIGINT, anchor VARCHAR, kind VARCHAR, role VARCHAR, timestamp TIMESTAMP, "
    "target BIGINT, note VARCHAR, text VARCHAR, context VARCHAR, novelty DOUBLE, valence DOUBLE, "
    "in_force BOOLEAN, valid_from TIMESTAMP, valid_to TIMESTAMP)"
)
_ROW = f"({', '.join('?' * 14)})"
_ROWS_AT_ONCE = 200

# Nothing outside, and no way to say otherwise in a question.
_CLOSED = (
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The names of the columns and the rows of an answer."""

    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]


def ask(lines: Iterable[tuple[Line, bool, float]], question: str) -> Answer:
    """Answer one SELECT over lines, each with whether it is in force and until when it holds.

    That is in unix seconds, `math.inf` while it does. Raises UsageError.
    """
    try:
        import duckdb
    except ModuleNotFoundError as error:
        raise UsageError(
            "Questions in SQL need the package 'duckdb', which is not installed: "
            "pip install 'anima-runtime[memory]'."
        ) from error
    with duckdb.connect(":memory:", config={"threads": "1"}) as connection:
        connection.execute(_TABLE)
        _fill(connection, [_row(*each) for each in lines])
        for setting in _CLOSED:
            connection.execute(setting)
        try:
            statements = connection.extract_statements(question)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise UsageError(
                    "Ask one question that begins with SELECT: the memory is read only."
                )
            found = connection.execute(statements[0])
            columns = [each[0] for each in found.description or []]
            return Answer(columns=columns, rows=found.fetchall())
        except duckdb.Error as error:
            raise UsageError(f"The question cannot be answered: {error}") from error


def _fill(connection: Any, rows: Sequence[Sequence[Any]]) -> None:
    # Many rows a statement: one at a time takes a millisecond each.
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        page = rows[start : start + _ROWS_AT_ONCE]
        values = [value for row in page for value in row]
        connection.execute(f"INSERT INTO lines VALUES {', '.join([_ROW] * len(page))}", values)


def _row(line: Line, in_force: bool, closed_at: float) -> Sequence[Any]:
    since = line.timestamp.replace(tzinfo=None)
    until = datetime.fromtimestamp(closed_at, UTC) if math.isfinite(closed_at) else None
    return (
        line.seq,
        line.anchor,
        line.kind,
        line.role,
        since,
        line.header.target,
        line.header.note,
        None if line.content is None else line.text,
        None if line.content is None else context_text(line.context),
        line.novelty,
        line.valence,
        in_force,
        since if line.kind == LINE else None,
        None if until is None else until.replace(tzinfo=None),
    )

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from anima.memory import Memory
from anima.memory.claims import likeness, replacing
from anima.memory.claims.known import Reading, read
from anima.memory.claims.likeness import Older
from anima.memory.claims.race import Close, Plan, Said
from anima.memory.claims.replacing import Replacing
from anima.memory.line import Vector, content_of
from anima.memory.ranking.hybrid import HybridRecall
from tests.memory.claims.test_replacing import key, reader
from tests.memory.claims.test_together import Lower
from tests.memory.claims.test_together import planted as planted_joint
from tests.memory.claims.test_together import reader as joint_reader

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
INSERT = Plan(kind="insert", reason="nothing like it is known")


def reading(seq: int, text: str, *, role: str = "user", after: int = 0) -> Reading:
    return read(seq, role, NOON + timedelta(days=after), text)


def over(olds: list[Older], judge: Replacing, plan: Plan = INSERT, after: int = 5) -> Plan:
    new = reading(9, "shoes in a 43 for me", after=after)
    content = content_of(text="shoes in a 43 for me", key=key(9))
    return likeness.read_over(plan, judge, new, content, olds)


def older(seq: int = 1, text: str = "size 41 feet", *, role: str = "user", after: int = 0) -> Older:
    return Older(reading=reading(seq, text, role=role, after=after), text=text, key=key(seq))


def sure_of_all() -> Replacing:
    return reader(sure=0.0, likely=0.0)


def test_what_surely_replaces_closes_all_of_a_line_that_says_one_thing() -> None:
    plan = over([older()], sure_of_all())
    assert (plan.kind, plan.by) == ("close", "likeness")
    assert [(each.target, each.by, each.whole) for each in plan.closes] == [(1, 9, True)]
    assert plan.candidates["close"] + plan.candidates["insert"] == 1


def test_what_likely_replaces_closes_a_line_in_part() -> None:
    plan = over([older()], reader(sure=1.0, likely=0.0))
    assert [each.whole for each in plan.closes] == [False]


def test_what_hardly_replaces_closes_nothing() -> None:
    assert over([older()], reader(sure=1.0, likely=1.0)) is INSERT


@pytest.mark.parametrize(("bias", "kind"), [(4.0, "close"), (-4.0, "insert")])
def test_where_both_texts_are_read_at_once_that_is_the_last_word(bias: float, kind: str) -> None:
    judge = reader(sure=1.0 if bias > 0 else 0.0, likely=1.0 if bias > 0 else 0.0)
    new = reading(9, "shoes in a 43 for me", after=5)
    content = content_of(text="shoes in a 43 for me", key=key(9))
    joint = joint_reader(planted_joint(bias=bias), Lower(), least=0.0)
    plan = likeness.read_over(INSERT, judge, new, content, [older()], joint)
    assert plan.kind == kind


def test_a_line_that_says_more_than_one_thing_is_never_closed_as_a_whole() -> None:
    told = (
        "size 41 feet, a green kayak, three cousins upstairs, violin practice, warm bread, old maps"
    )
    assert [each.whole for each in over([older(text=told)], sure_of_all()).closes] == [False]


def test_a_newer_line_and_what_the_model_said_are_left_alone() -> None:
    assert over([older(after=8), older(2, role="assistant")], sure_of_all()) is INSERT


def test_where_the_rules_close_they_alone_decide() -> None:
    close = Close(target=3, when=NOON.timestamp(), by=9, slots=[("user", "city")], whole=True)
    ruled = Plan(kind="close", reason="it says otherwise", closes=[close])
    assert over([older()], sure_of_all(), ruled) is ruled


def test_only_the_users_own_words_with_a_key_of_that_width_may_replace() -> None:
    judge, new = reader(), reading(9, "shoes in a 43 for me")
    assert not likeness.may_replace(INSERT, judge, new, None)
    assert not likeness.may_replace(INSERT, judge, new, np.ones(4, np.float32))
    theirs = reading(9, "shoes in a 43 for me", role="assistant")
    assert not likeness.may_replace(INSERT, judge, theirs, key(9))


class Planted:
    """An encoder of its own name, with a key for each text."""

    name = "planted"

    def __call__(self, text: str) -> Vector:
        return key(sum(text.encode()))


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Memory]:
    """A memory beside whose encoder a reader lies that takes every line for a replacement."""
    folder = tmp_path / "models" / Planted.name
    folder.mkdir(parents=True)
    replace(sure_of_all(), encoder=Planted.name).write(folder / replacing.FILE)
    monkeypatch.setattr(replacing, "shipped_models", lambda: tmp_path / "models")
    replacing.replacing_for.cache_clear()
    with Memory.open(
        tmp_path / "memory.sqlite", clock=lambda: NOON, recall=HybridRecall(), encoder=Planted()
    ) as memory:
        yield memory
    replacing.replacing_for.cache_clear()


def test_a_race_closes_what_the_reader_says_and_the_journal_says_by_whom(planted: Memory) -> None:
    planted.race([Said(text="size 41 feet")])
    (decision,) = planted.race([Said(text="shoes in a 43 for me")])
    assert (decision.kind, list(decision.closed)) == ("close", [1])
    assert [line.text for line in planted.as_of(NOON)] == ["shoes in a 43 for me"]
    journal = planted.line(decision.records[-1]).context["race"]
    assert isinstance(journal, Mapping)
    assert journal["by"] == "likeness"
    assert isinstance(journal["candidates"], Mapping)
    assert set(journal["candidates"]) == {"close", "insert"}


def test_what_was_closed_by_likeness_holds_again_when_that_line_is_forgotten(
    planted: Memory,
) -> None:
    planted.race([Said(text="size 41 feet")])
    (decision,) = planted.race([Said(text="shoes in a 43 for me")])
    assert decision.line is not None
    planted.forget(decision.line.seq)
    assert [line.text for line in planted.as_of(NOON)] == ["size 41 feet"]


def test_without_a_reader_for_its_encoder_the_rules_are_alone(
    planted: Memory, tmp_path: Path
) -> None:
    with Memory.open(tmp_path / "other.sqlite", clock=lambda: NOON, encoder=None) as memory:
        memory.race([Said(text="size 41 feet")])
        (decision,) = memory.race([Said(text="shoes in a 43 for me")])
    assert decision.kind == "insert"

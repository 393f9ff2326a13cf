"""A line holds until what closed it, for as long as that itself counts."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.memory.claims.intervals import Intervals
from anima.memory.line import CLOSE, LINE, MERGE, Content, Header, Line

CITY = ["user", "city"]
JOB = ["user", "job"]


def record(seq: int, kind: str, target: int = 0, when: float = 0.0, **context: object) -> Line:
    header = Header(kind=kind, timestamp=datetime.fromtimestamp(when, UTC), target=target)
    return Line(seq=seq, anchor="", header=header, content=Content(context=context))


def closing(
    seq: int, target: int, when: float, by: int, slots: object = (CITY,), whole: bool = True
) -> Line:
    return record(seq, CLOSE, target, when, by=by, slots=list(slots), whole=whole)


def test_a_closed_line_holds_until_the_time_of_its_closing() -> None:
    intervals = Intervals()
    intervals.add(closing(3, target=1, when=50.0, by=2))

    assert intervals.closed_at(1) == 50.0
    assert intervals.closed_at(2) == math.inf
    assert intervals.replaced_by(1) == [2]
    assert intervals.replaced_by(1, 49.0) == []
    assert intervals.slots_closed(1, 50.0) == {("user", "city")}


def test_a_partial_closing_ends_a_slot_and_not_the_line() -> None:
    intervals = Intervals()
    intervals.add(closing(3, target=1, when=50.0, by=2, whole=False))

    assert intervals.closed_at(1) == math.inf
    assert intervals.slot_closed_at(1, ("user", "city")) == 50.0
    assert intervals.slot_closed_at(1, ("user", "job")) == math.inf
    assert intervals.replaced_by(1) == [2]


def test_a_closing_that_is_taken_back_opens_the_interval() -> None:
    intervals = Intervals()
    intervals.add(closing(3, target=1, when=50.0, by=2))
    intervals.drop(3)

    assert intervals.closed_at(1) == math.inf
    assert intervals.replaced_by(1) == []


def test_a_line_that_is_forgotten_no_longer_closes_and_closes_again_when_it_is_back() -> None:
    intervals = Intervals()
    intervals.add(closing(3, target=1, when=50.0, by=2))
    intervals.drop(2)

    assert intervals.closed_at(1) == math.inf
    intervals.add(record(2, LINE))
    assert intervals.closed_at(1) == 50.0


def test_where_the_middle_of_three_is_forgotten_the_last_closes_the_first() -> None:
    intervals = Intervals()
    intervals.add(closing(3, target=1, when=50.0, by=2))
    intervals.add(closing(5, target=2, when=90.0, by=4))
    intervals.drop(2)

    assert intervals.closed_at(1) == 90.0
    assert intervals.replaced_by(1) == [4]
    intervals.drop(4)
    assert intervals.closed_at(1) == math.inf


def test_what_closed_another_slot_is_no_heir() -> None:
    intervals = Intervals()
    intervals.add(closing(3, target=1, when=50.0, by=2, slots=[CITY]))
    intervals.add(closing(5, target=2, when=90.0, by=4, slots=[JOB]))
    intervals.drop(2)

    assert intervals.closed_at(1) == math.inf


def test_two_lines_that_close_each_other_are_no_endless_loop() -> None:
    intervals = Intervals()
    intervals.add(closing(3, target=1, when=50.0, by=2))
    intervals.add(closing(4, target=2, when=60.0, by=1))
    intervals.drop(1)
    intervals.drop(2)

    assert intervals.closed_at(1) == math.inf


def test_merges_are_told_until_they_are_dropped() -> None:
    intervals = Intervals()
    intervals.add(record(4, MERGE, target=1))
    intervals.add(record(2, MERGE, target=1))

    assert intervals.merged_into(1) == [2, 4]
    intervals.drop(4)
    assert intervals.merged_into(1) == [2]
    intervals.clear()
    assert intervals.merged_into(1) == []


@pytest.mark.parametrize(
    "context", [{}, {"by": "x", "slots": "y", "whole": 1}, {"slots": [1, ["a"], ["a", "b", "c"]]}]
)
def test_a_closing_that_says_nothing_right_closes_nothing(context: dict[str, object]) -> None:
    intervals = Intervals()
    intervals.add(record(3, CLOSE, 1, 50.0, **context))

    assert intervals.closed_at(1) == math.inf
    assert intervals.slots_closed(1) == frozenset()


moves = st.lists(
    st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(0, 99), st.booleans()), max_size=12
)


@given(moves, st.sets(st.integers(1, 8)))
def test_the_order_of_drops_and_adds_makes_no_difference(
    drawn: list[tuple[int, int, int, bool]], gone: set[int]
) -> None:
    records = [
        closing(100 + at, target, float(when), by, whole=whole)
        for at, (target, by, when, whole) in enumerate(drawn)
        if target != by
    ]
    first, second = Intervals(), Intervals()
    for each in records:
        first.add(each)
    for seq in gone:
        first.drop(seq)
        second.drop(seq)
    for each in reversed(records):
        second.add(each)
        second.drop(each.seq)
        second.add(each)

    for seq in range(1, 9):
        assert first.closed_at(seq) == second.closed_at(seq)
        assert first.replaced_by(seq) == second.replaced_by(seq)
        assert first.closed_at(seq) >= first.slot_closed_at(seq, ("user", "city"))

"""A line that answers rises, the newer of two that do comes first, and only questions are read."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.memory import Answer, HybridRecall, Line, Memory
from anima.memory.ranking.reading import Reading, can_be_read, confidence, readers_for

from ..asked import line, question
from ..conftest import Ticking
from ..readers import Lower, readers

logits = st.lists(st.floats(-4, 4), min_size=1, max_size=8).map(np.array)


@pytest.mark.parametrize(
    "text",
    [
        "Where do I live?",
        "hey, who cuts my hair?",
        "remind me what my locker is",
        "When does the sofa come?",
        "Did I tell you what I drive?",
    ],
)
def test_a_question_about_oneself_or_nobody_by_name_is_read(text: str) -> None:
    assert can_be_read(text)


@pytest.mark.parametrize(
    "text",
    [
        "I moved to Leeds.",
        "We had soup",
        "Where did Caroline move to?",
        "What do I have on 10 April?",
        "What do I have to do on March 11th?",
        "why " + "I wonder " * 60 + "?",
    ],
)
def test_what_tells_what_is_of_others_and_what_asks_for_a_day_is_not_read(text: str) -> None:
    assert not can_be_read(text)


@given(logits)
def test_what_answers_gains_and_nothing_loses_by_it(each: np.ndarray) -> None:
    read = Reading(logits=each, replaced=np.zeros((each.size, each.size)))
    assert (read.answers >= 0).all()
    assert (np.diff(read.answers[np.argsort(each)]) >= 0).all()


@given(logits, st.floats(-6, 6))
def test_where_none_may_take_a_place_none_moves(each: np.ndarray, certain: float) -> None:
    shape = (each.size, each.size)
    read = Reading(logits=each, replaced=np.full(shape, certain))
    assert not read.moved(each, np.zeros(shape, bool), "now").any()


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-5, 5))
def test_the_better_both_answer_the_more_the_newer_gains(
    older: float, newer: float, certain: float
) -> None:
    may = np.array([[False, True], [False, False]])
    scores, replaced = np.array([0.9, 0.8]), np.full((2, 2), certain)
    less = Reading(logits=np.array([older, newer]), replaced=replaced)
    more = Reading(logits=np.array([older, newer]) + 0.5, replaced=replaced)
    assert less.moved(scores, may, "now").sum() == pytest.approx(0)
    assert more.moved(scores, may, "now")[1] >= less.moved(scores, may, "now")[1] >= 0


def test_asked_for_the_past_the_older_takes_the_place_of_the_newer() -> None:
    replaced = np.array([[-6.0, 6.0], [-6.0, -6.0]])  # the second replaced the first
    read = Reading(logits=np.array([2.0, 2.0]), replaced=replaced)
    newer_may = np.array([[False, True], [False, False]])
    now = read.moved(np.array([0.9, 0.8]), newer_may, "now")
    before = read.moved(np.array([0.9, 0.8]), newer_may.T, "before")
    assert now[1] > 0 > now[0]
    assert before[0] > 0 > before[1]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5))
def test_an_answer_is_surer_by_either_and_never_more_than_sure(
    far: float, surest: float, more: float
) -> None:
    found = confidence(far, surest)
    assert 0 <= found <= 1
    assert confidence(min(1.0, far + more), surest) >= found
    assert confidence(far, min(1.0, surest + more)) >= found


def test_a_line_that_does_not_fit_counts_half() -> None:
    read = Reading(logits=np.array([3.0, -3.0]), replaced=np.zeros((2, 2)))
    both, none = read.surest(np.array([True, True])), read.surest(np.array([False, False]))
    assert none == pytest.approx(both / 2)
    assert Reading(logits=np.zeros(0), replaced=np.zeros((0, 0))).surest(np.zeros(0, bool)) == 0.0


def found(lines: Sequence[Line], text: str, *, read: bool, certain: float = -6.0) -> Answer:
    recall = HybridRecall()
    for each in lines:
        recall.add(each)
    asked = question(text, [1, 0, 0])
    return recall.search(replace(asked, readers=readers(certain) if read else None), 3)


def seqs(answer: Answer) -> list[int]:
    return [each.seq for each in answer.found]


LINES = [
    line(1, "rex is the name", [0.3, 0.95, 0]),
    line(2, "the rain is long", [0.4, 0, 0.9]),
    line(3, "it rains", [0, -1, 0]),
]


def test_the_line_that_answers_comes_before_the_nearest() -> None:
    assert seqs(found(LINES, "who do I walk with?", read=False))[0] == 2
    answer = found(LINES, "who do I walk with?", read=True)
    assert seqs(answer)[0] == 1
    terms = {each.seq: each.terms for each in answer.found}
    assert terms[1]["answers"] > terms[2]["answers"] >= 0


def test_a_text_that_tells_finds_as_without_readers() -> None:
    with_, without = (found(LINES, "I had a walk", read=read) for read in (True, False))
    assert with_ == without


def test_of_two_lines_that_answer_the_newer_comes_first() -> None:
    two = [line(1, "rex it is", [0.35, 0.9, 0]), line(2, "it is rex two", [0.25, 0.9, 0.3])]
    sure = found([*two, LINES[2]], "who do I walk?", read=True, certain=-3.0)
    unlike = found([*two, LINES[2]], "who do I walk?", read=True, certain=-6.0)
    assert (seqs(sure)[0], seqs(unlike)[0]) == (2, 1)


def test_where_no_line_answers_it_is_less_sure() -> None:
    told = found(LINES, "who do I walk with?", read=True).confidence
    untold = found(LINES[1:], "who do I walk with?", read=True).confidence
    assert told > untold


def test_a_question_without_a_vector_is_not_read() -> None:
    recall, states = HybridRecall(), Lower()
    for each in LINES:
        recall.add(each)
    asked = replace(question("what is it that rains?"), readers=readers(states=states))
    assert recall.search(asked, 3).found
    assert states.asked == []


def test_there_are_none_without_an_encoder_or_for_one_without_a_name() -> None:
    assert readers_for(None) is None
    assert readers_for(Lower()) is None


def test_keys_of_another_width_are_read_for_answers_alone() -> None:
    read = readers(certain=4.0, width=5).read(
        "who?",
        ["rex", "soup"],
        near=np.zeros(2),
        keys=np.ones((2, 3), np.float32),
        times=np.arange(2.0),
    )
    assert read.logits[0] > read.logits[1]
    assert (read.replaced == read.replaced[0, 0]).all()


def test_what_replies_to_a_question_is_read_behind_it() -> None:
    recall, states = HybridRecall(), Lower()
    recall.add(line(1, "What is your dog called?", [0.9, 0.1, 0], hours=1, role="assistant"))
    recall.add(line(2, "Bo, he is three", [0.1, 0.9, 0], hours=1.05))
    asked = replace(question("who is my dog?", [1, 0, 0]), readers=readers(states=states))
    assert recall.search(asked, 2).found
    assert "What is your dog called? Bo, he is three" in states.asked


class Encoder:
    """Keys by the length of a text, and planted states, under the name of one with readers."""

    name = "minilm"

    def __init__(self) -> None:
        self.states = Lower()

    def __call__(self, text: str) -> np.ndarray:
        return np.array([1.0, len(text) % 7, 1.0], np.float32)


@pytest.mark.parametrize(("text", "is_read"), [("who is my dog?", True), ("my dog is old", False)])
def test_a_memory_has_what_it_is_asked_read_by_the_readers_that_come_with_anima(
    text: str, is_read: bool, tmp_path: Path, clock: Ticking
) -> None:
    encoder = Encoder()
    with Memory.open(tmp_path / "memory.sqlite", clock=clock, encoder=encoder) as memory:
        memory.commit([memory.draft(None, each) for each in ("my dog is rex", "soup again")])
        (first, *_) = memory.query(text, explain=True)
    assert first.terms is not None
    assert ("answers" in first.terms) == is_read
    assert bool(encoder.states.asked) == is_read


def test_what_was_erased_is_not_kept_by_its_readers(tmp_path: Path, clock: Ticking) -> None:
    encoder = Encoder()
    with Memory.open(tmp_path / "memory.sqlite", clock=clock, encoder=encoder) as memory:
        memory.commit([memory.draft(None, each) for each in ("my dog is rex", "soup again")])
        made = []
        for _ in range(2):
            memory.query("who is my dog?")
            made.append(len(encoder.states.asked))
        assert made == [3, 3], "what was read once is kept"
        memory.erase(2)
        memory.query("who is my dog?")
        assert encoder.states.asked[3:] == ["who is my dog?", "my dog is rex"]

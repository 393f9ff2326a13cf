"""The exact search is the plain cosine and follows what is in force and what has closed."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import UsageError
from anima.memory import ExactRecall, Memory, Question
from anima.memory.ranking.concert import Concert, blend
from anima.memory.ranking.vectors import best

from ..conftest import Ticking

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture
def exact(shelf: Path, clock: Ticking) -> Iterator[Memory]:
    """An empty memory that is searched by cosines alone."""
    with Memory.open(shelf / "memory.sqlite", clock=clock, recall=ExactRecall()) as opened:
        yield opened


def test_the_search_gives_the_plain_cosines_of_what_is_in_force(exact: Memory) -> None:
    keys = np.random.default_rng(7).normal(size=(200, 5))
    exact.commit([exact.draft(key, str(at)) for at, key in enumerate(keys)])
    exact.forget(10)
    exact.pop(50)
    question = np.array([1.0, -1.0, 0.5, 0.0, 2.0])
    left = {seq: cosine(keys[seq - 1], question) for seq in range(1, 151) if seq != 10}
    expected = sorted(left, key=lambda seq: -left[seq])[:7]

    hits = exact.query(question, 7, explain=True)

    assert [hit.line.seq for hit in hits] == expected
    assert [hit.score for hit in hits] == pytest.approx([left[seq] for seq in expected], abs=1e-6)
    assert all(hit.terms == {"similarity": hit.score} for hit in hits)
    assert exact.query(question, 1)[0].terms is None
    exact.rewind(200)
    assert len(exact.query(question, 999)) == 200


def test_of_two_equal_lines_the_newer_comes_first(exact: Memory) -> None:
    for _ in range(9):
        exact.put([3.0, 4.0], "the same")

    assert [hit.line.seq for hit in exact.query([3.0, 4.0], 3)] == [9, 8, 7]


def test_an_answer_has_the_greatest_cosine_as_its_confidence_and_none_of_nothing(
    exact: Memory,
) -> None:
    assert exact.ask([1.0, 0.0]).abstained
    exact.put([3.0, 4.0], "a line")
    reply = exact.ask([1.0, 0.0])
    assert (reply.abstained, reply.confidence) == (False, pytest.approx(0.6))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(1, 35))
def test_best_is_a_whole_sort_cut_off(scores, k):
    seqs = np.arange(1, len(scores) + 1)
    whole = sorted(range(len(scores)), key=lambda at: (-scores[at], -seqs[at]))

    assert best(np.array(scores, float), seqs, k).tolist() == whole[:k]


def test_novelty_is_one_less_the_greatest_similarity(plain: Memory) -> None:
    plain.put([1.0, 0.0], "first")
    plain.put([3.0, 4.0], "second")
    plain.put([1.0, 0.0], "first again")

    assert [line.novelty for line in plain.lines()] == pytest.approx([1.0, 0.4, 0.0], abs=1e-6)


def test_a_question_of_words_alone_needs_an_encoder() -> None:
    recall = ExactRecall()
    with pytest.raises(UsageError, match="encoder"):
        recall.search(Question(text="words", now=NOW), 1)
    assert recall.search(Question(vector=np.ones(2, np.float32), now=NOW), 3).found == []


def test_a_bias_of_nothing_is_zero(exact: Memory) -> None:
    assert exact.bias_vector([1.0, 0.0]).tolist() == []
    exact.put([-1.0, 0.0], ("against", [1.0, 2.0, 3.0]))
    assert exact.bias_vector([1.0, 0.0]).tolist() == [0.0, 0.0, 0.0]


@given(st.lists(st.floats(0.1, 9), min_size=1, max_size=6))
def test_a_blend_of_equal_values_is_that_value(weights):
    values = np.tile(np.float32([1.0, -2.0]), (len(weights), 1))

    assert blend(np.array(weights), values).tolist() == pytest.approx([1.0, -2.0])


def test_a_wrong_weight_is_refused() -> None:
    for wrong in ({"tau": 0.0}, {"alpha": float("nan")}):
        with pytest.raises(UsageError, match="finite"):
            Concert(**wrong)


def test_an_encoder_makes_keys_of_texts(shelf: Path, clock: Ticking) -> None:
    def letters(text: str) -> np.ndarray:
        return np.float32([1 + text.count("a"), text.count("b")])

    with Memory.open(shelf / "memory.sqlite", clock=clock, encoder=letters) as memory:
        memory.put(None, "aaa")
        memory.put("bbb", "answer to the letter b")
        assert memory.query("bb", 1)[0].line.seq == 2
        with pytest.raises(UsageError, match="question is empty"):
            memory.query("  ")

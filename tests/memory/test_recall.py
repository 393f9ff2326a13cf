"""The exact search is the plain cosine, follows what is in force, and the seed's formula is literal."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import UsageError
from anima.memory import ExactRecall, Memory, Question
from anima.memory.concert import Concert, blend
from anima.memory.recall import best

from .conftest import Ticking

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_search_gives_the_plain_cosines_of_what_is_in_force(plain: Memory) -> None:
    keys = np.random.default_rng(7).normal(size=(200, 5))
    plain.commit([plain.draft(key, str(at)) for at, key in enumerate(keys)])
    plain.forget(10)
    plain.pop(50)
    question = np.array([1.0, -1.0, 0.5, 0.0, 2.0])
    left = {seq: cosine(keys[seq - 1], question) for seq in range(1, 151) if seq != 10}
    expected = sorted(left, key=lambda seq: -left[seq])[:7]

    hits = plain.query(question, 7, explain=True)

    assert [hit.line.seq for hit in hits] == expected
    assert [hit.score for hit in hits] == pytest.approx([left[seq] for seq in expected], abs=1e-6)
    assert all(hit.terms == {"similarity": hit.score} for hit in hits)
    assert plain.query(question, 1)[0].terms is None
    plain.rewind(200)
    assert len(plain.query(question, 999)) == 200


def test_of_two_equal_lines_the_newer_comes_first(plain: Memory) -> None:
    for _ in range(9):
        plain.put([3.0, 4.0], "the same")

    assert [hit.line.seq for hit in plain.query([3.0, 4.0], 3)] == [9, 8, 7]


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


def test_the_seed_ranking_is_its_formula(shelf: Path) -> None:
    clock = Ticking(NOW)
    with Memory.open(
        shelf / "memory.sqlite", clock=clock, recall=ExactRecall(ranking="seed")
    ) as memory:
        memory.put([1.0, 0.0], ("old", [1.0, 0.0]), timestamp=NOW - timedelta(hours=6))
        memory.put([0.8, 0.6], ("new", [0.0, 1.0]), timestamp=NOW)
        memory.put([0.1, 1.0], ("below the floor", [9.0, 9.0]), timestamp=NOW)
        hits = memory.query([1.0, 0.0], explain=True, at=NOW)
        bias = memory.bias_vector([1.0, 0.0])

    old = 0.35 * math.exp(-1) + 0.5 * 1.0 + 0.08 * 1.0
    new = 0.35 * 1.0 + 0.5 * 0.8 + 0.08 * 0.2
    assert [hit.line.text for hit in hits] == ["new", "old"]
    assert [hit.score for hit in hits] == pytest.approx([new, old], abs=1e-6)
    assert hits[1].terms == pytest.approx(
        {"recency": math.exp(-1), "similarity": 1.0, "novelty": 1.0}, abs=1e-6
    )
    assert bias.tolist() == pytest.approx([old / (old + new), new / (old + new)], abs=1e-3)


def test_what_comes_from_the_future_is_not_newer_than_now() -> None:
    recall = ExactRecall(ranking="seed")
    with pytest.raises(UsageError, match="encoder"):
        recall.search(Question(text="words", now=NOW), 1)
    assert recall.search(Question(vector=np.ones(2, np.float32), now=NOW), 3) == []


def test_a_bias_of_nothing_is_zero(plain: Memory) -> None:
    assert plain.bias_vector([1.0, 0.0]).tolist() == []
    plain.put([-1.0, 0.0], ("against", [1.0, 2.0, 3.0]))
    assert plain.bias_vector([1.0, 0.0]).tolist() == [0.0, 0.0, 0.0]


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

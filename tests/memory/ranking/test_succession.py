"""A newer line gains what the older one loses, never more than it takes to trade places."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.memory.ranking.succession import chances, likeness, moves

Scores = st.lists(st.floats(0, 1), min_size=1, max_size=8).map(np.array)


@given(Scores, st.floats(-0.5, 1), st.floats(0, 1))
def test_a_chance_lies_between_0_and_1_and_is_0_where_nothing_may(scores, alike, missing):
    shape = (scores.size, scores.size)
    every = chances(scores, np.full(shape, alike), np.ones(shape, bool), np.full(shape, missing))
    assert ((every >= 0) & (every <= 1)).all()
    none = chances(scores, np.full(shape, alike), np.zeros(shape, bool), np.full(shape, missing))
    assert not none.any()


@given(Scores, st.floats(-0.5, 0.9))
def test_the_more_alike_and_the_better_the_newer_the_surer(scores, alike):
    shape, nothing = (scores.size, scores.size), np.zeros((scores.size, scores.size))
    may = np.ones(shape, bool)
    less = chances(scores, np.full(shape, alike), may, nothing)
    more = chances(scores, np.full(shape, alike + 0.1), may, nothing)
    better = chances(scores + 0.1, np.full(shape, alike), may, nothing)
    assert (more >= less).all()
    assert (better >= less).all()
    lacking = chances(scores, np.full(shape, alike), may, nothing + 1.0)
    assert not lacking.any()


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_what_one_line_loses_another_gains_and_no_more_than_half_the_gap_and_a_step(a, b, chance):
    scores = np.array([a, b])
    found = moves(scores, np.array([[0.0, chance], [0.0, 0.0]]))
    assert found.sum() == pytest.approx(0)
    assert 0 <= found[1] <= max(0, a - b) / 2 + 0.15 + 1e-9


@given(Scores)
def test_without_a_chance_nothing_moves(scores):
    assert not moves(scores, np.zeros((scores.size, scores.size))).any()


def test_nothing_to_move_is_nothing() -> None:
    assert moves(np.zeros(0), np.zeros((0, 0))).size == 0


def test_equal_keys_are_alike_and_any_two_are_not() -> None:
    generator = np.random.default_rng(0)
    keys = generator.normal(size=(200, 64)) + 0.5
    keys = (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float32)
    cosines = keys @ keys.T
    mean = float((cosines.sum() - 200) / (200 * 199))
    found = likeness(keys, mean)
    assert np.diagonal(found) == pytest.approx(1, abs=1e-5)
    assert found[~np.eye(200, dtype=bool)].mean() == pytest.approx(0, abs=1e-5)

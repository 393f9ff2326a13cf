"""The metrics of a ranking, against their definitions and plain counting."""

from itertools import product

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.evaluation import recall_metrics as metrics
from anima.evaluation.recall_metrics import Tally, pooled

LINES = st.lists(st.integers(0, 20), unique=True, max_size=12)
CLAIMS = st.lists(st.frozensets(st.integers(0, 20), min_size=1, max_size=3), min_size=1, max_size=3)
NUMBERS = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12)


@given(LINES, CLAIMS, st.integers(1, 12))
def test_a_hit_is_a_recall_above_nothing_and_both_grow_with_k(ranked, gold, k):
    assert metrics.hit(ranked, gold, k) == (metrics.recall(ranked, gold, k) > 0)
    assert metrics.recall(ranked, gold, k) <= metrics.recall(ranked, gold, k + 1) <= 1


def test_all_claims_first_is_perfect_whichever_line_says_them():
    gold = [frozenset({1, 5}), frozenset({2})]
    assert metrics.recall([5, 2, 9], gold, 2) == 1
    assert metrics.hit([9, 5, 2], gold, 1) == 0
    assert metrics.recall([9, 5, 2], gold, 2) == 0.5
    assert metrics.recall([], gold, 10) == 0


def test_what_no_longer_holds_must_not_come_first():
    gold, stale = [frozenset({1})], frozenset({2, 3})
    assert metrics.stale_first([2, 1], gold, stale) == 1
    assert metrics.stale_first([9, 1, 2], gold, stale) == 0
    assert metrics.stale_first([9, 3], gold, stale) == 1
    assert metrics.stale_first([9], gold, stale) == 0
    assert metrics.right_then([1, 2], gold, stale, 5) == 1
    assert metrics.right_then([2, 1], gold, stale, 5) == 0
    assert metrics.right_then([9, 1], gold, stale, 1) == 0


def test_crowding_counts_what_is_only_said_again():
    gold = [frozenset({1, 2, 3}), frozenset({4})]
    assert metrics.crowding([1, 2, 4, 3], gold, 3) == 1
    assert metrics.crowding([1, 2, 3, 4], gold, 4) == 2
    assert metrics.crowding([9, 4], gold, 5) == 0


@given(NUMBERS, NUMBERS)
def test_auroc_is_the_share_of_won_pairs(higher, lower):
    won = [(a > b) + 0.5 * (a == b) for a, b in product(higher, lower)]
    assert metrics.auroc(higher, lower) == pytest.approx(sum(won) / len(won))
    assert metrics.auroc(higher, lower) == pytest.approx(1 - metrics.auroc(lower, higher))


def test_auroc_of_nothing_is_none():
    assert metrics.auroc([], [1.0]) is None
    assert metrics.auroc([2.0], [1.0]) == 1


def rows(*lives):
    tallies = []
    for figures, told, untold in lives:
        tally = Tally()
        for value in figures:
            tally.add("g", hit=value)
        for value in told:
            tally.surer("g", value, told=True)
        for value in untold:
            tally.surer("g", value, told=False)
        tallies.append(tally.row())
    return tallies


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=5))
def test_pooled_figures_are_of_all_questions_and_n_counts_lives(lives):
    found = pooled(rows(*lives), "g", numpy.random.default_rng(0))
    values = [value for figures, _, _ in lives for value in figures]
    assert found["hit"].value == pytest.approx(sum(values) / len(values))
    assert found["hit"].n == found["AUROC"].n == len(lives)
    told = [value for _, each, _ in lives for value in each]
    untold = [value for _, _, each in lives for value in each]
    assert found["AUROC"].value == pytest.approx(metrics.auroc(told, untold))
    assert found["hit"].low <= found["hit"].value + 1e-9
    assert found["hit"].high >= found["hit"].value - 1e-9


def test_a_life_without_a_figure_does_not_count_for_it():
    found = pooled(rows(([1.0], [], []), ([], [1.0], [0.0])), "g", numpy.random.default_rng(0))
    assert found["hit"].n == found["AUROC"].n == 1
    assert pooled(rows(([1.0], [], [])), "other", numpy.random.default_rng(0)) == {}

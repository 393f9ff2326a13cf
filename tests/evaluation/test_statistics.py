import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import UsageError
from anima.evaluation import statistics

finite = st.floats(-1e3, 1e3, allow_nan=False)
samples = st.lists(finite, min_size=1, max_size=30)


def generator(seed=0):
    return numpy.random.default_rng(seed)


@given(samples)
def test_the_mean_lies_within_its_interval_and_the_interval_within_the_sample(values):
    found = statistics.bootstrap(values, generator(), draws=200)
    slack = 1e-9 * max(1, *map(abs, values))
    assert found.value == pytest.approx(sum(values) / len(values), abs=1e-6)
    assert min(values) - slack <= found.low <= found.high <= max(values) + slack
    assert found.n == len(values)


def test_the_same_seed_gives_the_same_interval():
    values = [float(value) for value in generator(9).normal(size=20)]
    assert statistics.bootstrap(values, generator(3)) == statistics.bootstrap(values, generator(3))
    assert statistics.bootstrap(values, generator(3)) != statistics.bootstrap(values, generator(4))


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says():
    drawn = generator(1)
    held = 0
    for _ in range(200):
        found = statistics.bootstrap(drawn.normal(5, 2, 40), drawn, draws=300)
        held += found.low <= 5 <= found.high
    assert 0.88 <= held / 200 <= 1.0


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_what_cannot_be_resampled_is_refused(values):
    with pytest.raises(UsageError):
        statistics.bootstrap(values, generator())


def test_values_of_one_unit_are_averaged_before_they_count():
    found = statistics.by_unit([("a", 1), ("b", 0), ("a", 0)])
    assert found == {"a": 0.5, "b": 0}


def test_a_paired_difference_takes_only_units_that_both_have():
    treated = {"a": 3.0, "b": 5.0, "only here": 100.0}
    control = {"a": 1.0, "b": 3.0, "only there": -100.0}
    found = statistics.paired_difference(treated, control, generator())
    assert (found.value, found.low, found.high, found.n) == (2, 2, 2, 2)


@given(st.lists(st.floats(0.001, 1e3), min_size=1, max_size=6))
def test_the_harmonic_mean_lies_between_least_and_arithmetic_mean(values):
    found = statistics.harmonic_mean(values)
    assert min(values) * (1 - 1e-9) <= found <= sum(values) / len(values) * (1 + 1e-9)


def test_one_zero_makes_the_harmonic_mean_zero():
    assert statistics.harmonic_mean([1.0, 0.0, 1.0]) == 0
    with pytest.raises(UsageError):
        statistics.harmonic_mean([-1.0])


def test_macro_f1_weighs_a_rare_label_like_a_frequent_one():
    truth = ["a"] * 9 + ["b"]
    assert statistics.macro_f1(truth, truth, ["a", "b"]) == 1
    assert statistics.macro_f1(truth, ["a"] * 10, ["a", "b"]) == pytest.approx((18 / 19) / 2)


def test_macro_f1s_interval_resamples_whole_groups():
    truth, said = ["a", "b"] * 4, ["a", "b"] * 3 + ["b", "a"]
    groups = ["right"] * 6 + ["wrong"] * 2
    found = statistics.bootstrap_macro_f1(truth, said, ["a", "b"], generator(), groups=groups)
    assert found.n == 2
    assert (found.low, found.high) == (0, 1)

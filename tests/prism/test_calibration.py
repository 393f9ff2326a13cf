import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anima.prism.calibration import mean, percentile, solve
from anima.prism.measuring import Said


@settings(max_examples=200, deadline=None)
@given(
    power=st.floats(0.7, 4),
    answer=st.floats(0.01, 0.45),
    start=st.sampled_from([0.02, 0.1, 0.3]),
    floor=st.floats(0, 0.3),
)
def test_a_power_law_is_solved_within_the_tolerance(power, answer, start, floor):
    def measure(strength):
        return floor + (1 - floor) * (strength / answer) ** power

    found = solve(measure, 1.0, start=start, lowest=0.001, highest=1.0, evaluations=8)
    assert found.value == pytest.approx(1.0, rel=0.1001)
    assert found.strength == pytest.approx(answer, rel=0.3)
    assert found.value == measure(found.strength)


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.floats(0, 1e6), min_size=6, max_size=6), seed=st.integers(0, 9))
@example(values=[0.0, 0.0, 2.0, 5e-324, 0.0, 0.0], seed=0)
@example(values=[1e-300, 1.1e-300, 1.2e-300, 1e6, 5e-324, 0.0], seed=0)
def test_whatever_is_measured_it_stays_in_range_counts_evaluations_and_returns_the_nearest(
    values, seed
):
    queue = list(values)
    found = solve(lambda s: queue.pop(0), 1.0, start=0.1, lowest=0.01, highest=0.5)
    assert 1 <= len(found.tried) <= 6
    assert all(0.01 <= strength <= 0.5 for strength, _ in found.tried)
    distances = [abs(math.log(v)) if v > 0 else math.inf for _, v in found.tried]
    nearest = abs(math.log(found.value)) if found.value > 0 else math.inf
    assert nearest == min(distances)


def test_what_never_reaches_the_target_ends_at_the_highest_strength():
    found = solve(lambda s: 0.2 * s, 1.0, start=0.1, lowest=0.01, highest=0.5)
    assert found.strength == 0.5


def test_an_overflow_counts_as_far_too_much():
    found = solve(
        lambda s: math.inf if s > 0.2 else (s / 0.1) ** 2, 1.0,
        start=0.5, lowest=0.01, highest=0.5, evaluations=8,
    )  # fmt: skip
    assert found.strength == pytest.approx(0.1, rel=0.1)


def test_percentile_and_mean_are_over_all_tokens_of_all_replies():
    rows = [torch.arange(10.0), torch.arange(10.0, 21.0)]
    replies = [Said(ids=(), kl=row, surprisal=row) for row in rows]
    assert percentile(replies) == pytest.approx(19.0)
    assert mean(replies) == pytest.approx(10.0)
    assert percentile([]) == mean([]) == 0.0

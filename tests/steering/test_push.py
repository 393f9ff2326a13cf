import math

import pytest
import torch
from steering_rig import WIDTH, push

from anima.errors import SteeringError
from anima.steering.push import OPERATIONS, Push


@pytest.mark.parametrize("value", [math.nan, math.inf, 1.5, -1.5])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_strength_out_of_range_or_not_finite_is_refused(operation, value):
    with pytest.raises(SteeringError, match="fraction of the residual norm"):
        push(operation, value)


@pytest.mark.parametrize(
    ("direction", "said"),
    [
        (torch.full((WIDTH,), math.nan), "not finite"),
        (torch.full((WIDTH,), math.inf), "not finite"),
        (torch.zeros(WIDTH), "zero"),
        (torch.ones(2, WIDTH), "one row"),
    ],
)
def test_a_direction_that_is_none_is_refused_by_name(direction, said):
    with pytest.raises(SteeringError, match=f"bad vector.*{said}"):
        Push(operation="add", strength=0.1, direction=direction, label="bad vector")


def test_a_push_needs_a_feature_or_a_direction_and_not_both():
    for options in ({}, {"feature": 1, "direction": torch.ones(WIDTH)}):
        with pytest.raises(SteeringError, match="a feature or a direction"):
            Push(operation="add", strength=0.1, **options)

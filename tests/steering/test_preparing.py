import math

import pytest
import torch
from steering_rig import NORM, WIDTH, planted_sae, push, state

from anima.errors import SteeringError
from anima.steering.preparing import ready
from anima.steering.push import OPERATIONS, Push


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o != "cap"])
def test_strength_zero_asks_for_nothing_at_all(operation):
    assert state(push(operation, 0)) is None


def test_a_direction_of_another_width_is_refused():
    with pytest.raises(SteeringError, match="is 8 wide, and this model's residual stream 32"):
        state(Push(operation="add", strength=0.1, direction=torch.ones(8)))


@pytest.mark.parametrize("feature", [-1, 24, 99])
def test_a_feature_that_does_not_exist_is_refused(feature):
    with pytest.raises(SteeringError, match=f"Feature {feature} does not exist"):
        state(push("clamp", 0.1, feature))


def test_a_feature_without_an_sae_is_refused():
    with pytest.raises(SteeringError, match="no SAE here"):
        ready([push("clamp", 0.1)], norm=NORM, width=WIDTH)


@pytest.mark.parametrize("norm", [0.0, -1.0, math.nan])
def test_a_norm_that_cannot_be_is_refused(norm):
    with pytest.raises(SteeringError, match="norm"):
        ready([push("add", 0.1)], norm=norm, width=WIDTH, sae=planted_sae())

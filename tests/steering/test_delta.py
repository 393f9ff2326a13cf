import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from steering_rig import NORM, WIDTH, planted_sae, push, row, state, stream

from anima.steering.delta import delta
from anima.steering.push import Push

ARCHITECTURES = ("standard", "gated", "jumprelu", "topk")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_clamp_equals_decode_of_the_edited_code_plus_the_error(architecture):
    sae, h = planted_sae(architecture), stream()
    a = sae.encode(h)
    edited = a.clone()
    edited[..., 3] = 0.1 * NORM
    expected = sae.decode(edited) + (h - sae.decode(a))
    written = delta(h, state(push("clamp", 0.1), sae=sae))
    torch.testing.assert_close(h + written.delta, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("strength", [-0.2, 0.05, 0.3])
def test_every_operation_does_what_its_formula_says(strength):
    h, sae = stream(), planted_sae()
    a, t = sae.encode(h)[..., 3], strength * NORM
    expected = {
        "add": torch.full_like(a, t),
        "clamp": t - a,
        "min_clamp": (t - a).clamp(min=0),
        "cap": (t - a).clamp(max=0),
    }
    if strength > 0:
        expected["ablate"] = -strength * a
        expected["negative_clamp"] = torch.where(a > 0, -t - a, torch.zeros_like(a))
    for operation, change in expected.items():
        written = delta(h, state(push(operation, strength), budget=100))
        torch.testing.assert_close(written.delta, change[..., None] * row(3), rtol=0, atol=1e-5)


def test_a_dense_direction_is_pushed_by_its_share_of_the_norm_whatever_its_length():
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(4))
    for scale in (0.01, 1, 300):
        written = delta(
            stream(), state(Push(operation="add", strength=0.1, direction=scale * direction))
        )
        expected = 0.1 * NORM * direction / direction.norm()
        torch.testing.assert_close(written.delta, expected.expand_as(written.delta))


def test_a_projection_cap_is_one_sided_and_an_ablation_takes_all_of_a_direction_away():
    h, direction = stream(), row(0, seed=7)
    capped = h + delta(h, state(Push(operation="cap", strength=0.0, direction=direction))).delta
    torch.testing.assert_close(capped @ direction, (h @ direction).clamp(max=0), atol=1e-5, rtol=0)
    ablated = h + delta(h, state(Push(operation="ablate", strength=1, direction=direction))).delta
    torch.testing.assert_close(ablated @ direction, torch.zeros(2, 5), atol=1e-5, rtol=0)
    again = (
        ablated
        + delta(ablated, state(Push(operation="ablate", strength=1, direction=direction))).delta
    )
    torch.testing.assert_close(again, ablated, atol=1e-5, rtol=0)


def test_features_and_directions_act_together_as_the_sum_of_each_alone():
    h, direction = stream(), row(5, seed=9)
    first, second = push("clamp", 0.05), Push(operation="add", strength=0.03, direction=direction)
    both = delta(h, state(first, second)).delta
    alone = delta(h, state(first)).delta + delta(h, state(second)).delta
    torch.testing.assert_close(both, alone)


@settings(max_examples=60, deadline=None)
@given(
    strengths=st.lists(st.floats(-1, 1), min_size=1, max_size=6),
    budget=st.floats(0.02, 1),
    seed=st.integers(0, 99),
)
def test_the_sum_of_all_pushes_never_exceeds_the_budget(strengths, budget, seed):
    pushes = [push("add", s, feature) for feature, s in enumerate(strengths)]
    made = state(*pushes, budget=budget)
    if made is None:
        return
    written = delta(stream(seed), made)
    lengths = written.delta.norm(dim=-1)
    assert float(lengths.max()) <= budget * NORM * (1 + 1e-5)
    asked = math.sqrt(sum(s * s for s in strengths))
    expected = min(asked, budget) * NORM
    torch.testing.assert_close(lengths, torch.full_like(lengths, expected), rtol=1e-4, atol=1e-4)


def test_masked_positions_are_left_alone():
    mask = torch.tensor([1.0, 0, 1, 0, 0])[None, :, None]
    written = delta(stream(), state(push("add", 0.2)), mask)
    assert written.delta[:, [1, 3, 4]].abs().max() == 0
    assert float(written.delta[:, [0, 2]].norm(dim=-1).min()) > 1


def test_half_precision_streams_are_pushed_by_a_delta_computed_in_float32():
    h = (stream() * 100).half()
    written = delta(h, state(push("clamp", 0.1)))
    assert written.delta.dtype == torch.float32
    assert bool(torch.isfinite(written.delta).all())

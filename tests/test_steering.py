import math
from dataclasses import replace

import planted
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anima.errors import SteeringError
from anima.steering import (
    OPERATIONS,
    Push,
    delta,
    opposed,
    placebo,
    pushing,
    ready,
    records,
    shuffled,
    traced,
    zombie,
)

NORM = 6.0
WIDTH = 32
ARCHITECTURES = ("standard", "gated", "jumprelu", "topk")


def planted_sae(architecture="jumprelu"):
    return planted.planted(architecture, features=24, threshold=0.01)


def row(index, seed=0):
    return planted.directions(24, WIDTH, seed=seed)[index]


def stream(seed=0, rows=5):
    return torch.randn(2, rows, WIDTH, generator=torch.Generator().manual_seed(seed))


def state(*pushes, sae=None, **options):
    return ready(pushes, norm=NORM, width=WIDTH, sae=sae or planted_sae(), **options)


def push(operation, strength, feature=3, **options):
    return Push(operation=operation, strength=strength, feature=feature, **options)


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


def test_where_the_budget_binds_the_record_says_by_how_much():
    made = state(push("add", 0.6, 1), push("add", 0.8, 2))
    record, _ = records(traced(made, [(delta(stream(), made), None)]))
    assert record.scaled == pytest.approx(0.5, abs=1e-4)
    assert (record.feature, record.share) == (2, pytest.approx(0.4, abs=1e-4))


def test_a_record_holds_feature_target_actual_share_and_tokens_of_content_alone():
    h = stream()[:1]
    made = state(push("clamp", 0.1, label="rain"))
    mask = torch.tensor([0.0, 1, 1, 0, 1])[None, :, None]
    (record,) = records(traced(made, [(delta(h, made, mask), mask)]))
    a = planted_sae().encode(h)[0, [1, 2, 4], 3]
    assert (record.label, record.feature, record.operation, record.tokens) == (
        "rain",
        3,
        "clamp",
        3,
    )
    assert record.target == pytest.approx(0.1 * NORM)
    assert record.actual == pytest.approx(float(a.mean()), abs=1e-5)
    share = (0.1 * NORM - a).abs().mean() / NORM
    assert record.share == pytest.approx(float(share), abs=1e-5)


def test_masked_positions_are_left_alone():
    mask = torch.tensor([1.0, 0, 1, 0, 0])[None, :, None]
    written = delta(stream(), state(push("add", 0.2)), mask)
    assert written.delta[:, [1, 3, 4]].abs().max() == 0
    assert float(written.delta[:, [0, 2]].norm(dim=-1).min()) > 1


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o != "cap"])
def test_strength_zero_asks_for_nothing_at_all(operation):
    assert state(push(operation, 0)) is None


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_without_a_state_and_under_a_zombie_the_logits_are_bit_identical(engine):
    trunk = tiny.EXECUTIONS[engine]()
    ids = torch.tensor([[5, 6, 7, 8]])
    bare = trunk.forward(ids, trunk.cache()).logits
    made = state(push("clamp", 0.3))
    dead = trunk.forward(ids, trunk.cache(), taps={1: (pushing(zombie(made)),)}).logits
    alive = trunk.forward(ids, trunk.cache(), taps={1: (pushing(made),)}).logits
    assert torch.equal(bare, dead)
    assert not torch.equal(bare, alive)


def test_a_placebo_is_as_long_as_what_it_stands_for_on_every_token_and_points_elsewhere():
    made = state(push("clamp", 0.1), push("clamp", 0.05, 4))
    real = delta(stream(), made).delta
    fake = delta(stream(), placebo(made, torch.Generator().manual_seed(1))).delta
    torch.testing.assert_close(fake.norm(dim=-1), real.norm(dim=-1))
    cosine = torch.nn.functional.cosine_similarity(fake, real, dim=-1).abs()
    assert float(cosine.max()) < 0.6


def test_shuffled_keeps_operations_and_strengths_on_other_features():
    pushes = [push("clamp", 0.1, 0), push("ablate", 1.0, 1)]
    moved = shuffled(pushes, range(10, 20), WIDTH, torch.Generator().manual_seed(0))
    assert [(p.operation, p.strength) for p in moved] == [("clamp", 0.1), ("ablate", 1.0)]
    assert all(10 <= p.feature < 20 for p in moved)
    assert moved[0].feature != moved[1].feature


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


def test_a_push_needs_a_feature_or_a_direction_and_not_both():
    for options in ({}, {"feature": 1, "direction": torch.ones(WIDTH)}):
        with pytest.raises(SteeringError, match="a feature or a direction"):
            Push(operation="add", strength=0.1, **options)


@pytest.mark.parametrize("norm", [0.0, -1.0, math.nan])
def test_a_norm_that_cannot_be_is_refused(norm):
    with pytest.raises(SteeringError, match="norm"):
        ready([push("add", 0.1)], norm=norm, width=WIDTH, sae=planted_sae())


def test_half_precision_streams_are_pushed_by_a_delta_computed_in_float32():
    h = (stream() * 100).half()
    written = delta(h, state(push("clamp", 0.1)))
    assert written.delta.dtype == torch.float32
    assert bool(torch.isfinite(written.delta).all())


def both_ways(monkeypatch, h, make, mask=None):
    """What is written with and without compiled code."""
    from anima.trunk.fast_edits import edited

    found = []
    for edit in (None, edited):
        monkeypatch.setattr("anima.steering.compiled_edit", lambda edit=edit: edit)
        made = make()
        assert (made.compiled is None) == (edit is None)
        found.append(delta(h, made, mask))
    return found


@pytest.mark.parametrize("architecture", ["standard", "jumprelu"])
@pytest.mark.parametrize("budget", [0.01, 100])
@pytest.mark.parametrize(
    "change", [lambda s: s, zombie, opposed, lambda s: placebo(s, generator())]
)
def test_compiled_code_writes_what_the_tensor_operations_write(
    monkeypatch, architecture, budget, change
):
    direction = torch.randn(WIDTH, generator=generator())
    pushes = [push(operation, 0.1, feature) for feature, operation in enumerate(OPERATIONS)]
    pushes += [replace(each, feature=None, direction=direction) for each in pushes]
    sae, mask = planted_sae(architecture), torch.tensor([1.0, 0, 1, 1, 0])[:, None]
    for h, only in ((stream(), None), (stream(1, rows=1), None), (stream(), mask)):
        plain, compiled = both_ways(
            monkeypatch, h, lambda: change(state(*pushes, sae=sae, budget=budget)), only
        )
        for name in ("delta", "actual", "change", "scale"):
            torch.testing.assert_close(
                getattr(compiled, name), getattr(plain, name), rtol=1e-4, atol=1e-5
            )


def test_directions_alone_are_compiled_too(monkeypatch):
    direction = torch.randn(WIDTH, generator=generator())
    pushes = [Push(operation=each, strength=0.2, direction=direction) for each in ("add", "cap")]
    plain, compiled = both_ways(
        monkeypatch, stream(), lambda: ready(pushes, norm=NORM, width=WIDTH)
    )
    torch.testing.assert_close(compiled.delta, plain.delta, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ["gated", "topk"])
def test_an_sae_that_does_not_read_linearly_is_left_to_tensor_operations(architecture):
    import anima.trunk.fast_edits  # noqa: F401

    assert state(push("clamp", 0.1), sae=planted_sae(architecture)).compiled is None


def test_the_compiled_delta_of_a_row_does_not_depend_on_its_neighbours(monkeypatch):
    from anima.trunk.fast_edits import edited

    monkeypatch.setattr("anima.steering.compiled_edit", lambda: edited)
    made, h = state(push("clamp", 0.2), push("add", 0.1, 5)), stream()
    whole = delta(h, made).delta
    for place in range(h.shape[1]):
        alone = delta(h[:, place : place + 1].contiguous(), made).delta
        torch.testing.assert_close(whole[:, place : place + 1], alone, rtol=0, atol=0)


def generator():
    return torch.Generator().manual_seed(9)

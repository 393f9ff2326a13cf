import copy

import pytest
import tiny
import torch
from transformers import DynamicCache

from anima.errors import ModelError

IDS = torch.tensor([[5, 80, 81, 82, 90, 7, 100, 33]])


def bare_logits(model, ids):
    with torch.no_grad():
        return model(ids, use_cache=False).logits


def test_hooks_without_taps_leave_the_logits_bit_identical():
    model = tiny.llama()
    before = bare_logits(model, IDS)
    trunk = tiny.trunk()
    assert torch.equal(trunk.forward(IDS, trunk.cache(), logits_at="all").logits, before)


def test_a_tap_that_writes_nothing_leaves_the_logits_bit_identical():
    trunk = tiny.trunk()
    idle = trunk.forward(IDS, trunk.cache(), taps={1: (lambda h: None,)}, logits_at="all").logits
    assert torch.equal(idle, bare_logits(tiny.llama(), IDS))


def test_the_whole_cached_prefill_equals_the_models_own_cache_to_the_bit():
    model = tiny.llama()
    trunk = tiny.trunk()
    own, ours = DynamicCache(config=model.config), trunk.cache()
    for piece in (IDS[:, :5], IDS[:, 5:6], IDS[:, 6:]):
        with torch.no_grad():
            expected = model(piece, past_key_values=own).logits
        assert torch.equal(trunk.forward(piece, ours, logits_at="all").logits, expected)


def test_a_written_delta_moves_the_residual_of_that_layer_and_what_follows(make):
    trunk = make()
    delta = torch.randn(1, IDS.shape[1], 32)
    clean = trunk.forward(IDS, trunk.cache(), reads=(0, 1, 2))
    moved = trunk.forward(IDS, trunk.cache(), taps={1: (lambda h: delta,)}, reads=(0, 1, 2))
    assert torch.equal(clean.reads[0], moved.reads[0])
    assert torch.equal(clean.reads[1], moved.reads[1]), "reads are taken before the layer's write"
    assert not torch.equal(clean.reads[2], moved.reads[2])
    assert not torch.equal(clean.logits, moved.logits)


def test_two_taps_on_a_layer_see_the_same_stream_and_their_deltas_add_up(make):
    trunk = make()
    seen = []

    def tap(delta):
        def write(h):
            seen.append(h.clone())
            return delta

        return write

    a, b = torch.randn(32), torch.randn(32)
    both = trunk.forward(IDS, trunk.cache(), taps={0: (tap(a), tap(b))}).logits
    summed = trunk.forward(IDS, trunk.cache(), taps={0: (tap(a + b),)}).logits
    assert torch.equal(seen[0], seen[1])
    torch.testing.assert_close(both, summed)


def test_attaching_acts_on_every_forward_until_detached_bit_for_bit(make):
    trunk = make()
    before = trunk.forward(IDS, trunk.cache()).logits
    detach = trunk.attach(0, lambda h: torch.ones_like(h))
    other = trunk.attach(0, lambda h: torch.ones_like(h))
    assert not torch.equal(trunk.forward(IDS, trunk.cache()).logits, before)
    other()
    assert not torch.equal(trunk.forward(IDS, trunk.cache()).logits, before)
    detach()
    assert torch.equal(trunk.forward(IDS, trunk.cache()).logits, before)


def test_closing_takes_every_hook_out_of_the_model():
    model = tiny.llama()
    from anima.trunk.reference import ReferenceTrunk

    trunk = ReferenceTrunk(model, name="tiny", fingerprint="x")
    assert all(layer._forward_hooks for layer in model.model.layers)
    trunk.close()
    assert not any(layer._forward_hooks for layer in model.model.layers)


def test_an_error_in_a_tap_leaves_no_tap_behind(make):
    trunk = make()
    before = trunk.forward(IDS, trunk.cache()).logits

    def broken(h):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trunk.forward(IDS, trunk.cache(), taps={1: (broken,)})
    assert torch.equal(trunk.forward(IDS, trunk.cache()).logits, before)


def test_a_zero_attention_bias_changes_nothing_and_a_large_one_silences_a_key(make):
    trunk = make()
    zero = torch.zeros(3, 1, 4, 1, IDS.shape[1])
    plain = trunk.forward(IDS, trunk.cache()).logits
    biased = trunk.forward(IDS, trunk.cache(), bias=zero).logits
    torch.testing.assert_close(biased, plain, rtol=0, atol=1e-5)
    mute = zero.clone()
    mute[..., 3] = -1e9
    changed = IDS.clone()
    changed[0, 3] = 200
    first = trunk.forward(IDS, trunk.cache(), bias=mute).logits
    second = trunk.forward(changed, trunk.cache(), bias=mute).logits
    torch.testing.assert_close(first, second, rtol=0, atol=1e-5)
    assert not torch.allclose(plain, trunk.forward(changed, trunk.cache()).logits, atol=1e-4)


def test_a_bias_on_one_layer_and_head_is_not_the_same_as_on_another(make):
    trunk = make()
    outcomes = []
    for layer, head in ((0, 0), (0, 3), (2, 0)):
        bias = torch.zeros(3, 1, 4, 1, IDS.shape[1])
        bias[layer, 0, head, 0, 2] = 4.0
        outcomes.append(trunk.forward(IDS, trunk.cache(), bias=bias).logits)
    assert not torch.allclose(outcomes[0], outcomes[1], atol=1e-4)
    assert not torch.allclose(outcomes[0], outcomes[2], atol=1e-4)


def test_a_bias_of_the_wrong_shape_is_refused_with_the_right_one(make):
    trunk = make()
    with pytest.raises(ModelError, match=r"\[3, rows, 4, queries, 8\]"):
        trunk.forward(IDS, trunk.cache(), bias=torch.zeros(3, 1, 2, 1, 8))


def test_the_gradient_to_the_bias_equals_the_finite_difference(make):
    trunk = make()
    with trunk.differentiable() as run:
        cache = run.cache()
        run.forward(IDS[:, :5], cache)
        bias = torch.zeros(3, 1, 4, 3, IDS.shape[1], requires_grad=True)

        def loss(values):
            fork = copy.deepcopy(cache.inner)
            held = type(cache)(fork, 1, None)
            return (
                run.forward(IDS[:, 5:], held, bias=values, logits_at="all")
                .logits.logsumexp(-1)
                .sum()
            )

        (gradient,) = torch.autograd.grad(loss(bias), bias)
        direction = torch.randn(bias.shape, generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            measured = (loss(bias + 0.02 * direction) - loss(bias - 0.02 * direction)) / 0.04
    assert (gradient * direction).sum().item() == pytest.approx(measured.item(), rel=1e-2)


def test_after_a_differentiable_run_forwards_build_no_graph_again(make):
    trunk = make()
    with trunk.differentiable():
        pass
    assert not trunk.forward(IDS, trunk.cache()).logits.requires_grad


@pytest.mark.parametrize("layer", [-1, 3, 99])
def test_a_layer_that_does_not_exist_is_refused_by_name(make, layer):
    trunk = make()
    with pytest.raises(ModelError, match=f"Layer {layer} does not exist.*0 to 2"):
        trunk.forward(IDS, trunk.cache(), reads=(layer,))


def test_half_precision_runs_and_differentiates_in_float32():
    from anima.trunk.reference import ReferenceTrunk

    trunk = ReferenceTrunk(tiny.llama().bfloat16(), name="tiny", fingerprint="x")
    assert trunk.info.dtype == "bfloat16"
    assert trunk.forward(IDS, trunk.cache()).logits.dtype == torch.float32
    with trunk.differentiable() as run:
        assert run.info.dtype == "float32"
        assert run.forward(IDS, run.cache()).logits.shape == (1, 1, 259)

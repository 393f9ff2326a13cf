import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anima.memory.into.logit_bias import LONGEST, bias_of, blended

outputs = st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=40).map(torch.tensor)
gates = st.floats(0, 1)


@settings(deadline=None, max_examples=40)
@given(outputs, gates, st.floats(0, 4))
def test_a_bias_keeps_the_order_of_the_output_and_its_limit(output, gate, strength):
    bias = bias_of(output, gate=gate, strength=strength)
    if bias is None:
        return
    assert bool(torch.isfinite(bias).all())
    assert float(bias.abs().max()) <= LONGEST
    order = output.argsort()
    assert bool((bias[order].diff() >= 0).all())


@settings(deadline=None, max_examples=40)
@given(outputs, st.floats(0.5, 5), st.floats(-20, 20))
def test_neither_the_scale_nor_the_level_of_the_output_counts(output, scale, level):
    first = bias_of(output, gate=1.0)
    second = bias_of(output * scale + level, gate=1.0)
    if float(output.double().std(correction=0)) > 1e-2:
        assert first is not None
        assert second is not None
        assert torch.allclose(first, second, atol=1e-2)


@settings(deadline=None, max_examples=40)
@given(outputs)
def test_a_shut_gate_or_no_strength_gives_no_bias_at_all(output):
    assert bias_of(output, gate=0.0) is None
    assert bias_of(output, gate=1.0, strength=0.0) is None


def test_an_output_that_says_nothing_or_is_broken_gives_none():
    assert bias_of(torch.ones(5), gate=1.0) is None
    assert bias_of(torch.tensor([1.0, float("nan"), 2.0]), gate=1.0) is None
    assert bias_of(torch.tensor([1.0, float("inf"), 2.0]), gate=1.0) is None


def test_values_are_blended_by_their_weights_and_negative_ones_count_as_none():
    values = torch.tensor([[1.0, 0.0], [0.0, 2.0], [9.0, 9.0]])
    assert torch.equal(blended(values, torch.tensor([1.0, 3.0, -1.0])), torch.tensor([0.25, 1.5]))
    assert torch.equal(blended(values, torch.zeros(3)), torch.zeros(2))

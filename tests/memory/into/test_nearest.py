import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anima.memory.into.nearest import FLOOR, FULL, Datastore, Mixture, mixture_bias, share_of

V = 12
logits = st.lists(st.floats(-30, 30, width=32), min_size=V, max_size=V).map(torch.tensor)
places = st.lists(st.tuples(st.integers(0, V - 1), st.floats(0.01, 1)), min_size=1, max_size=8)


@settings(deadline=None, max_examples=40)
@given(logits, places, st.floats(0.01, 0.99))
def test_the_bias_makes_exactly_the_mixture_of_the_paper(row, found, share):
    tokens = torch.tensor([token for token, _ in found])
    weights = torch.tensor([weight for _, weight in found], dtype=torch.float64)
    weights = weights / weights.sum()
    bias = mixture_bias(row, tokens, weights, share)
    assert bias is not None
    assert bool(torch.isfinite(bias).all())
    near = torch.zeros(V, dtype=torch.float64).index_add_(0, tokens, weights)
    wanted = (1 - share) * row.double().softmax(-1) + share * near
    got = (row.double() + bias.double()).softmax(-1)
    assert torch.allclose(got, wanted, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(logits, places)
def test_a_share_of_zero_is_no_bias(row, found):
    tokens = torch.tensor([token for token, _ in found])
    assert mixture_bias(row, tokens, torch.ones(len(tokens)) / len(tokens), 0.0) is None


@settings(deadline=None, max_examples=40)
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 1), st.floats(0, 4))
def test_the_share_rises_with_nearness_and_leaves_the_model_a_say(one, other, gate, strength):
    low, high = sorted((one, other))
    near = share_of(high, gate=gate, strength=strength)
    assert 0 <= share_of(low, gate=gate, strength=strength) <= near < 1
    assert share_of(FLOOR, gate=1.0) == 0
    assert share_of(FULL, gate=0.0) == share_of(FULL, gate=1.0, strength=0.0) == 0


def test_a_state_like_one_before_a_token_brings_that_token():
    states = torch.eye(4)
    store = Datastore.of(states, torch.tensor([5, 6, 7, 8]), torch.zeros(4))
    assert store is not None
    mixture = Mixture(store=store, gate=1.0, strength=1.0)
    mixture.hear(torch.stack([states[0], 3 * states[2]])[None])
    bias = mixture.bias(torch.zeros(V))
    assert bias is not None
    assert int(bias.argmax()) == 7
    assert (mixture.steps, mixture.bent) == (1, 1)


def test_a_state_like_none_of_them_changes_nothing():
    store = Datastore.of(torch.eye(4)[:2], torch.tensor([5, 6]), torch.zeros(4))
    assert store is not None
    mixture = Mixture(store=store, gate=1.0, strength=1.0)
    assert mixture.bias(torch.zeros(V)) is None  # nothing was heard yet
    mixture.hear(torch.eye(4)[3][None, None])
    assert mixture.bias(torch.zeros(V)) is None
    mixture.hear(torch.full((1, 1, 4), float("nan")))
    assert mixture.bias(torch.zeros(V)) is None
    assert mixture.bent == 0


def test_states_that_are_none_or_not_finite_make_no_store():
    tokens = torch.tensor([1, 2])
    assert Datastore.of(torch.empty(0, 4), tokens[:0], torch.zeros(4)) is None
    assert Datastore.of(torch.full((2, 4), float("inf")), tokens, torch.zeros(4)) is None

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from anima.errors import ModelError, UsageError
from anima.trunk.sampler import candidates, penalise, pick
from anima.trunk.settings import Sampling


def logits_of(seed, size=1000, spread=3.0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * spread


def library_probabilities(logits, sampling):
    chain = LogitsProcessorList()
    chain.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        chain.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        chain.append(MinPLogitsWarper(sampling.min_p))
    return chain(torch.zeros(1, 0, dtype=torch.long), logits[None])[0].softmax(-1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    temperature=st.floats(0.1, 3),
    top_p=st.floats(0.05, 1),
    top_k=st.sampled_from([0, 1, 5, 300]),
    min_p=st.sampled_from([0.0, 0.05, 0.5]),
)
def test_candidates_are_those_of_the_library_with_the_same_probabilities(
    seed, temperature, top_p, top_k, min_p
):
    sampling = Sampling(temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p)
    logits = logits_of(seed)
    ids, p = candidates(logits, sampling)
    expected = library_probabilities(logits, sampling)
    ours = torch.zeros(len(logits), dtype=torch.float64)
    ours[ids] = p
    # A candidate exactly at the boundary may fall either way by rounding.
    assert (ours - expected.double()).abs().sum() < 0.02
    assert p.sum().item() == pytest.approx(1)


def test_top_p_widens_beyond_its_first_look_until_the_mass_is_reached():
    ids, _ = candidates(torch.zeros(5000), Sampling(top_p=0.5))
    assert len(ids) == pytest.approx(2500, abs=1)


@given(seed=st.integers(0, 1000), penalty=st.floats(0.5, 3))
def test_the_repetition_penalty_is_the_librarys(seed, penalty):
    logits = logits_of(seed, 50)
    seen = torch.tensor([3, 7, 20])
    expected = RepetitionPenaltyLogitsProcessor(penalty)(seen[None], logits[None].clone())[0]
    torch.testing.assert_close(penalise(logits, seen, penalty), expected)


def test_temperature_zero_is_the_argmax_and_draws_nothing():
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    logits = logits_of(4)
    assert pick(logits, Sampling(temperature=0), generator).id == int(logits.argmax())
    assert torch.equal(generator.get_state(), before)


def test_a_seed_decides_the_draw_and_draws_follow_the_distribution():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    generator = torch.Generator().manual_seed(7)
    draws = [pick(logits, Sampling(), generator).id for _ in range(4000)]
    generator = torch.Generator().manual_seed(7)
    assert draws == [pick(logits, Sampling(), generator).id for _ in range(4000)]
    shares = torch.bincount(torch.tensor(draws), minlength=4) / len(draws)
    # Three standard errors of a share of one half in 4,000 draws are .024.
    assert (shares - logits.softmax(-1)).abs().max() < 0.024


def test_surprisal_and_entropy_are_of_the_untouched_distribution():
    logits = logits_of(2, 50)
    chosen = pick(logits, Sampling(temperature=0.1, top_k=1), torch.Generator())
    p = logits.double().softmax(-1)
    assert chosen.surprisal == pytest.approx(-p[chosen.id].log().item(), rel=1e-5)
    assert chosen.entropy == pytest.approx(-(p * p.log()).sum().item(), rel=1e-5)


def test_a_logit_bias_decides_the_choice_but_not_the_surprisal():
    logits = logits_of(2, 50)
    bias = torch.zeros(50)
    bias[11] = 1000
    chosen = pick(logits, Sampling(temperature=0), torch.Generator(), bias=bias)
    assert chosen.id == 11
    assert chosen.surprisal == pytest.approx(-logits.log_softmax(-1)[11].item(), rel=1e-5)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_an_error_that_says_so(broken):
    logits = logits_of(1, 20)
    logits[3] = broken
    with pytest.raises(ModelError, match="not finite"):
        pick(logits, Sampling(), torch.Generator())


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", -0.1), ("temperature", float("nan")), ("top_p", 0), ("top_p", 1.1),
     ("min_p", 2), ("top_k", -1), ("top_k", math.inf), ("repetition_penalty", 0)],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_by_name_and_range(name, value):
    with pytest.raises(UsageError, match=rf"{name} .* out of range"):
        Sampling().changed({name: value})


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(UsageError, match="Did you mean temperature"):
        Sampling().changed({"temprature": 1})

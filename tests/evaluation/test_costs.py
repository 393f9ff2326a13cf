import pytest
import tiny
import torch

from anima.errors import ModelError
from anima.evaluation import costs

PROMPT, REPLY = (5, 17, 40), (60, 61, 9, 200)


@pytest.fixture(scope="module")
def trunk():
    return tiny.trunk()


def push(h):
    return torch.full_like(h, 0.3)


def nudge(h):
    return torch.full_like(h, 0.003)


def test_the_surprise_is_what_one_pass_over_the_whole_says(trunk):
    ids = torch.tensor([[*PROMPT, *REPLY]])
    whole = trunk.forward(ids, trunk.cache(), logits_at="all").logits[0].log_softmax(-1)
    expected = [-whole[len(PROMPT) - 1 + i, token].item() for i, token in enumerate(REPLY)]
    found = costs.price(trunk, REPLY, prompt=PROMPT)
    assert found.surprise == pytest.approx(expected, abs=1e-4)
    assert found.nll == pytest.approx(sum(expected) / len(expected), abs=1e-4)


def test_without_steering_the_divergence_is_exactly_zero(trunk):
    assert costs.price(trunk, REPLY, prompt=PROMPT).divergence == (0.0,) * len(REPLY)
    same = costs.price(trunk, REPLY, prompt=PROMPT, arm_prompt=PROMPT)
    assert same.kl == 0


def test_the_divergence_is_kl_of_the_arm_from_the_bare_model(trunk):
    found = costs.price(trunk, REPLY, prompt=PROMPT, taps={1: [push]})
    arm = costs.log_probabilities(trunk, PROMPT, REPLY, taps={1: [push]})
    bare = costs.log_probabilities(trunk, PROMPT, REPLY)
    expected = torch.nn.functional.kl_div(bare, arm, log_target=True, reduction="none").sum(-1)
    assert found.divergence == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-5)
    assert min(found.divergence) > 0


def test_a_smaller_push_costs_less_and_the_text_is_priced_under_the_bare_model(trunk):
    small = costs.price(trunk, REPLY, prompt=PROMPT, taps={1: [nudge]})
    large = costs.price(trunk, REPLY, prompt=PROMPT, taps={1: [push]})
    assert small.kl < large.kl
    assert small.surprise == large.surprise


def test_another_prompt_of_the_arm_alone_makes_a_divergence(trunk):
    asked = costs.price(trunk, REPLY, prompt=PROMPT, arm_prompt=(7, 8, *PROMPT))
    assert asked.kl > 0
    assert asked.surprise == costs.price(trunk, REPLY, prompt=PROMPT).surprise


def test_a_prompt_of_one_token_can_be_scored(trunk):
    assert len(costs.price(trunk, REPLY, prompt=(5,)).surprise) == len(REPLY)


@pytest.mark.parametrize(("prompt", "reply"), [((), REPLY), (PROMPT, ())])
def test_nothing_cannot_be_scored(trunk, prompt, reply):
    with pytest.raises(ModelError):
        costs.price(trunk, reply, prompt=prompt)


def test_the_95th_percentile_is_taken_over_pooled_tokens():
    assert costs.percentile([float(i) for i in range(101)], 0.95) == pytest.approx(95)
    with pytest.raises(ModelError):
        costs.percentile([], 0.95)

"""The NLL of a text after another one, against the model's own logits."""

import pytest
import tiny
import torch

from anima.runtime.likelihood import Likelihood


@pytest.fixture(scope="module")
def model():
    return tiny.loaded()


def test_it_is_the_mean_nll_of_the_texts_tokens_after_the_context(model):
    likelihood = Likelihood(trunk=model.trunk, encode=model.tokenizer.encode)
    before, own = model.tokenizer.encode("A cat.\n"), model.tokenizer.encode("It purrs")
    ids = torch.tensor([[*before, *own]])
    logits = model.trunk.forward(ids, model.trunk.cache(), logits_at="all").logits[0].float()
    rows = logits.log_softmax(-1)
    expected = [-float(rows[len(before) - 1 + n, token]) for n, token in enumerate(own)]
    assert likelihood("A cat.", "It purrs") == pytest.approx(
        sum(expected) / len(expected), abs=1e-4
    )


def test_a_text_alone_is_judged_from_its_second_token_on(model):
    likelihood = Likelihood(trunk=model.trunk, encode=model.tokenizer.encode)
    assert likelihood("", "x") == 0.0
    assert likelihood("", "xy") > 0
    assert likelihood("", "") == likelihood("A cat.", "") == 0.0

"""The shipped SAE on the model that it was trained for."""

import os
from datetime import datetime

import pytest
import torch

from anima.context import ChatFormat, jinja_render
from anima.features.corpus import CONTENT, Conversation, rendered
from anima.features.fidelity import fidelity, loss
from anima.features.opening import open_sae
from anima.features.sanity import check, probe
from anima.home import find_home
from anima.runtime.opening import prefix
from anima.trunk import loader

pytestmark = pytest.mark.slow

SAID = (  # of no corpus
    ("My neighbour gave me a box of plums yesterday and I have no idea what to do with them.",
     "You could bake a plum cake, or cook them slowly with sugar and cinnamon into a jam."),
    ("I keep putting off the phone call to my landlord. How do I begin?",
     "Start with the facts: what broke, since when, and what you would like to have done."),
    ("tell me something about owls, i saw one on the way home",
     "Owls turn their heads so far because their eyes cannot move in their sockets."),
)  # fmt: skip


@pytest.fixture(scope="module")
def model(smollm2_cache):
    loaded = loader.load(
        "smollm2", find_home(None, {**os.environ, "ANIMA_CACHE": str(smollm2_cache)})
    )
    return loaded, ChatFormat.of(
        jinja_render(loaded.chat_template, loaded.special_tokens, datetime.now)
    )


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return open_sae("smollm2", cache=tmp_path_factory.mktemp("cache"))


def test_it_is_sane_at_the_start_of_a_chat(model, shipped):
    loaded, format = model
    found = check(shipped.sae, loaded.trunk, probe(loaded.tokenizer, format, prefix(None)))
    assert found.sane, found.why


def test_on_lines_of_no_corpus_its_figures_are_near_those_of_its_card(model, shipped):
    loaded, format = model
    pieces = [
        piece
        for turns in SAID
        for piece in rendered(
            Conversation.of(turns), loaded.tokenizer, format, prefix(None), limit=256
        )
    ]
    rows = []
    for piece in pieces:
        step = loaded.trunk.forward(
            torch.tensor([piece.ids]), loaded.trunk.cache(), reads=(shipped.sae.layer,)
        )
        content = torch.tensor([role in CONTENT for role in piece.roles])
        rows.append(step.reads[shipped.sae.layer][0][content])
    found = fidelity(shipped.sae, rows)
    assert found.fvu < 0.3
    assert shipped.sae.l0 / 2 < found.l0 < 2 * shipped.sae.l0
    assert loss(shipped.sae, loaded.trunk, pieces).rise < 0.5
    norms = torch.cat(rows).norm(dim=-1)
    assert norms.mean().item() == pytest.approx(shipped.statistics.norm, rel=0.1)

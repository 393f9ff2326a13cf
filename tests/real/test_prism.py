"""The shipped SAE and modes on the real model."""

import os

import numpy
import pytest

import anima
from anima.evaluation import material, switching
from anima.events import Token
from anima.home import find_home
from anima.prism.build import CALIBRATION, TOKENS
from anima.prism.calibration import percentile
from anima.prism.contrast import Reader
from anima.prism.mode import check_fits
from anima.runtime.furnishing import furnish
from anima.runtime.modes import SHIPPED, open_workshop
from anima.runtime.replay import replay
from anima.trunk import loader

pytestmark = pytest.mark.slow


@pytest.fixture
def home(smollm2_cache, monkeypatch):
    monkeypatch.setenv("ANIMA_CACHE", str(smollm2_cache))
    return find_home(None, os.environ)


@pytest.fixture
def furniture(home):
    return furnish("smollm2", home)


@pytest.fixture
def loaded(home):
    return loader.load("smollm2", home)


def test_all_shipped_modes_fit_and_cost_what_their_files_say(loaded, furniture):
    workshop = open_workshop(loaded, furniture.book)
    base = workshop.prompts(CALIBRATION)
    for name in SHIPPED:
        mode = furniture.shelf.load(name)
        check_fits(mode, loaded.trunk.info, furniture.book.sae)
        said = workshop.said(base, workshop.state(mode.pushes()), TOKENS)
        assert percentile(said) == pytest.approx(mode.calibration.kl_p95, rel=0.25)
        assert 0.7 < mode.calibration.kl_p95 < 1.3


def test_each_mode_says_something_else_and_a_session_of_switches_replays(home):
    replies = set()
    with anima.open(seed=1, max_tokens=24, engine="fast") as runtime:
        for mode in ("off", *SHIPPED):
            runtime.mode = mode
            replies.add(runtime.say("Describe the room you are in."))
            runtime.undo()
        for number, event in enumerate(runtime.turn("Tell me about the sea.")):
            if isinstance(event, Token) and number == 8:
                runtime.mode = "dream"
        runtime.mode = "auto"
        runtime.say("What is the boiling point of water?")
        assert (runtime.mode, runtime.prism.auto) == ("system", True)
        session = runtime.session
    assert len(replies) == 4
    outcomes = list(replay(home, "default", session))
    assert [o.difference for o in outcomes] == [None] * len(outcomes)


def test_auto_is_right_on_texts_that_it_was_not_trained_on(loaded, furniture):
    format = open_workshop(loaded, furniture.book).reader.format
    reader = Reader(trunk=loaded.trunk, encoder=loaded.tokenizer, format=format)
    choosing = furniture.switcher.on(reader)
    found = switching.judge(choosing.chances, material.unseen_turns(), numpy.random.default_rng(0))
    assert found.macro_f1.n >= 150
    assert found.macro_f1.low > 0.9

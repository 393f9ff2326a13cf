import os

import pytest
import tiny
from prism_rig import dense

import anima
from anima.events import Token
from anima.home import find_home
from anima.prism.mode import mode_of
from anima.prism.shelf import Shelf
from anima.runtime.replay import replay


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("ANIMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANIMA_CACHE", str(tmp_path / "cache"))
    return str(tiny.save(tmp_path / "model"))


@pytest.fixture
def shelf(model):
    made = Shelf(own=home().modes("model"))
    made.save(dense("one", 0.4))
    made.save(dense("two", -0.4))
    return made


def home():
    return find_home(None, os.environ)


def opened(model, **settings):
    return anima.open(
        model=model, engine="reference", temperature=0, max_tokens=8, seed=3, **settings
    )


def matched(session):
    return [(o.turn, o.difference) for o in replay(home(), "default", session)]


def test_a_session_with_switches_between_and_within_turns_replays_to_the_token(model, shelf):
    with opened(model) as runtime:
        runtime.say("Hello")
        runtime.mode = "one"
        runtime.say("More")
        for number, event in enumerate(runtime.turn("And now")):
            if isinstance(event, Token) and number == 4:
                runtime.mode = "two"
        runtime.undo()
        runtime.say("Again")
        runtime.mode = "off"
        runtime.say("Last")
        session = runtime.session
    assert matched(session) == [(n, None) for n in (1, 2, 3, 3, 4)]


def test_a_replay_has_the_mode_as_it_was_and_not_as_its_file_is_now(model, shelf):
    with opened(model, mode="one") as runtime:
        said = runtime.say("Hello")
        session = runtime.session
    shelf.save(dense("one", -0.4), replace=True)
    assert matched(session) == [(1, None)]
    with opened(model) as runtime:
        assert runtime.mode == "one"
        assert runtime.say("Hello") != said
    shelf.remove("one")
    assert matched(session) == [(1, None)]


def test_a_tampered_coefficient_does_not_match(model, shelf):
    with opened(model, mode="one") as runtime:
        runtime.say("Hello")
        session = runtime.session
        record = runtime.last
    path = next((home().personas / "default" / "sessions").glob("*.jsonl"))
    ((digest, force),) = record["deltas"]["prism"]["forces"].items()
    assert mode_of(force["modes"][0], digest) == dense("one", 0.4)
    text = path.read_text(encoding="utf-8")
    assert '"strength":0.4' in text.replace(" ", "")
    path.write_text(text.replace('"strength":0.4', '"strength":0.1'), encoding="utf-8")
    assert matched(session)[0][1] is not None


def test_a_fork_and_a_resumed_session_replay(model, shelf):
    with opened(model, mode="one") as runtime:
        runtime.say("Hello")
        runtime.fork()
        runtime.say("More")
        forked = runtime.session
    with opened(model, session=forked) as runtime:
        assert runtime.mode == "one"
        runtime.say("And more")
    assert [difference for _, difference in matched(forked)] == [None, None]


def test_recompute_replays(model, shelf):
    with opened(model, on_switch="recompute") as runtime:
        runtime.say("Hello")
        runtime.mode = "one"
        runtime.say("More")
        session = runtime.session
    assert matched(session) == [(1, None), (2, None)]

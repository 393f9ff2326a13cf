"""Kill -9 in the middle of a reply: what was said before is there, the rest never was."""

import os
import signal
import subprocess
import sys

import pytest
import tiny

import anima
from anima.home import find_home
from anima.persona.session import sessions
from anima.runtime.replay import replay

TALK = """
import sys, anima
with anima.open(model=sys.argv[1], max_tokens=300, temperature=1.0, seed=4, device="cpu") as mind:
    for text in ("first", "second", "third"):
        for event in mind.turn(text):
            print(type(event).__name__, mind.turns, flush=True)
"""


@pytest.mark.parametrize("tokens", [1, 7])
def test_kill_9_in_the_middle_of_a_reply_loses_that_turn_alone(tmp_path, tokens):
    model = str(tiny.save(tmp_path / "model"))
    seen = 0
    with subprocess.Popen(
        [sys.executable, "-c", TALK, model], stdout=subprocess.PIPE, text=True
    ) as talk:
        for line in talk.stdout:
            seen += line == "Token 2\n"
            if seen == tokens:
                talk.send_signal(signal.SIGKILL)
                break
    assert talk.returncode == -signal.SIGKILL
    with anima.open(model=model, session="continue", max_tokens=8, device="cpu") as mind:
        assert mind.turns == 2
        assert mind.last["text"] == "second"
        assert mind.say("third, again")
        session = mind.session
    place = find_home(None, os.environ)
    assert [found.turns for found in sessions(place, "default")] == [3]
    assert all(outcome.matched for outcome in replay(place, "default", session))

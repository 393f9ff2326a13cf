"""The chat with the real model in a terminal of its own, at the sizes people have."""

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("terminals there are none of these", allow_module_level=True)

from anima.home import Home
from anima.persona import read_session, sessions
from tests.terminal.window import Window

pytestmark = pytest.mark.slow

ANIMA = [sys.executable, "-m", "anima"]
STORY = "Write a fable."
SEED = ["--seed", "3", "--temperature", "0"]


@pytest.fixture
def home(tmp_path, smollm2_cache, monkeypatch):
    monkeypatch.setenv("ANIMA_CACHE", str(smollm2_cache))
    monkeypatch.setenv("ANIMA_HOME", str(tmp_path))
    return Home(root=tmp_path, cache=smollm2_cache, config=tmp_path / "config.toml")


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40), (40, 15)])
def test_a_first_visit(home, columns, rows):
    with Window([*ANIMA, *SEED, "--max-tokens", "400"], columns, rows) as window:
        window.until("/help shows", "Ctrl-D")
        window.until("default ·", "mode off")
        assert len(window.text.split("\n\n")[0].splitlines()) <= 6
        window.press("What is the capital of France?\r")
        window.until("The capital of France is Paris.", "tokens/s")
        window.press(f"{STORY}\r")
        window.until_more_after(STORY)
        window.resize(columns + 10, rows + 3)
        window.press("and")
        window.press("\x03")
        window.until("⏹ stopped", "> and")
        window.press("\x03/undo\r")
        window.until(f"Taken back: {STORY}")
        window.press("\x04")
        assert window.end() == 0
        assert "anima --continue goes on here" in " ".join(window.everything.split())
    (session,) = sessions(home, "default")
    assert session.turns == 1


def test_a_name_brings_a_session_back_in_another_terminal(home):
    with Window([*ANIMA, *SEED, "--max-tokens", "12"]) as window:
        window.until("default ·", "mode off")
        window.press("My name is Ada.\r")
        window.until("tokens/s")
        window.press("/save about me\r")
        window.until("default · about me · smollm2")
        with Window(ANIMA) as second:
            assert second.end() == 1
            assert "--ephemeral" in second.text.replace("\n", "")
        window.press("\x04")
        assert window.end() == 0
    with Window([*ANIMA, "--resume", "about me", "--max-tokens", "12"]) as window:
        window.until("Going on in session about me", "> My name is Ada.")
        window.press("/compare temperature=0 temperature=0 Hello\r")
        window.until("A: temperature=0", "B: temperature=0")
        window.until("\n>")
        window.press("/stats\r")
        window.until("turns    1")
        window.press("/exit\r")
        assert window.end() == 0
    (session,) = sessions(home, "default")
    kinds = [record["record"] for record in read_session(home, "default", session.id)]
    assert kinds.count("turn") == 1

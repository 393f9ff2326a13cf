"""A home in which two personas have lived, and the program as a person calls it."""

import io
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from anima import cli
from anima.home import Home, find_home
from anima.persona import Persona

Ran = tuple[int, str, str]
Anima = Callable[..., Ran]

START = datetime(2026, 11, 22, 1, 53, tzinfo=UTC)


class Keyboard(io.StringIO):
    """What a person answers, at a terminal or nowhere."""

    def __init__(self, text: str, *, terminal: bool) -> None:
        super().__init__(text)
        self.terminal = terminal
        self.buffer = io.BytesIO(text.encode())

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def anima(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Anima:
    """Runs a command line: the exit code, stdout, stderr. `answer` is typed at a terminal."""

    def run(*arguments: str, answer: str | None = None) -> Ran:
        monkeypatch.setattr(sys, "stdin", Keyboard(answer or "", terminal=answer is not None))
        code = cli.main(arguments)
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def home() -> Home:
    return find_home(None, os.environ)


def turn(number: int, text: str, reply: str) -> dict[str, object]:
    return {"record": "turn", "turn": number, "text": text, "reply": reply, "finish": "end"}


@pytest.fixture
def lived(home: Home) -> dict[str, str]:
    """The ids of three sessions: `fox` and `undone` of default, `other` of bob."""
    ticks = iter(range(1000))

    def clock() -> datetime:
        return START + timedelta(seconds=next(ticks))

    with Persona.open(home, "default", clock=clock) as persona:
        persona.remember_model("smollm2", "b179")
        fox = persona.begin_session({"prefix": []})
        persona.commit(
            states={},
            records=[turn(1, "What is a fox?", "A red animal."), turn(2, "And a wolf?", "Grey.")],
        )
        undone = persona.begin_session({"prefix": []})
        persona.commit(
            states={},
            records=[
                turn(1, "Count to two", "One, two."),
                turn(2, "Forget this", "Secret."),
                {"record": "undo"},
            ],
        )
    with Persona.open(home, "bob", clock=clock) as persona:
        other = persona.begin_session({"prefix": []})
        persona.commit(states={}, records=[turn(1, "Hello", "I am Bob, no fox.")])
    return {"fox": fox, "undone": undone, "other": other}

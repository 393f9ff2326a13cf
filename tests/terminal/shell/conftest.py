"""A home in which two personas have lived, and the program as a person calls it."""

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from anima import cli
from anima.home import Home, find_home
from anima.persona import Persona
from anima.terminal.shell import memory_door

Ran = tuple[int, str, str]
Anima = Callable[..., Ran]

START = datetime(2026, 11, 22, 1, 53, tzinfo=UTC)
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


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


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In UTC; a second passes between two looks at the clock."""
    ticks = iter(range(100_000))
    monkeypatch.setattr(memory_door, "local_now", lambda: NOON + timedelta(seconds=next(ticks)))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def remembered(anima: Anima) -> list[str]:
    """The anchors, as they are shown, of three lines."""
    lines = (
        ("Ada lives in Rome with two cats.", "2026-05-01T10:00:00+00:00"),
        ("The kitchen light is broken.", "2026-05-02T10:00:00+00:00"),
        ("Bob plays chess on Tuesdays.", "2026-05-03T10:00:00+00:00"),
    )
    return [anima("memory", "put", text, "--time", at)[1].strip() for text, at in lines]

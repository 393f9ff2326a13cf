"""A chat reduced to what a command may use of it."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from anima.events import Event, Replied
from anima.home import Home
from anima.terminal import commands
from anima.terminal.screen import Screen
from tests.terminal.scripted import ScriptedRuntime


class Room:
    """A terminal 80 columns wide; what is said stands in `err`."""

    def __init__(self, runtime: Any = None, home: Home | None = None) -> None:
        self.err = io.StringIO()
        self.screen = Screen(io.StringIO(), self.err)
        self.runtime = runtime or ScriptedRuntime()
        self.awake: Any = self.runtime
        self.home = home or Home(root=Path("/nowhere"), cache=Path("/x"), config=Path("/x"))
        self.kept = home is not None
        self.width = 80
        self.from_inside = False
        self.left = False
        self.draft = ""
        self.edited: list[str] = []
        self.written = ""
        self.told: list[str] | None = []

    def stream(self, events: Iterator[Event]) -> Replied | None:
        return self._take(events, lambda event: self.screen.say(type(event).__name__))

    def collect(self, events: Iterator[Event]) -> Replied | None:
        return self._take(events, lambda event: None)

    def _take(self, events: Iterator[Event], show: Callable[[Event], None]) -> Replied | None:
        replied = None
        for event in events:
            show(event)
            replied = event if isinstance(event, Replied) else replied
        return replied

    def edit(self, text: str) -> str:
        self.edited.append(text)
        return self.written

    def tell(self, sequence: str) -> bool:
        if self.told is None:
            return False
        self.told.append(sequence)
        return True

    def suggest(self, text: str) -> None:
        self.draft = text

    def leave(self) -> None:
        self.left = True

    def do(self, line: str) -> str:
        self.err.truncate(0)
        self.err.seek(0)
        commands.dispatch(self, line)
        return self.err.getvalue()

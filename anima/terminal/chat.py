"""The chat: one prompt, one turn, and again; knows the runtime's events and no model.

The input line is open while the runtime loads in a thread. While a reply streams no prompt is
live, and nothing that was printed is ever drawn again.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from anima.errors import AnimaError, Interrupted
from anima.events import Event, Notice, Recomputed, Replied, Token
from anima.terminal import commands, turns
from anima.terminal.keyboard import Keyboard
from anima.terminal.screen import Screen, typed
from anima.terminal.signals import Signals
from anima.terminal.waking import Waking

if TYPE_CHECKING:
    from anima.runtime.loop import Runtime

TWICE = 2.0
"""Seconds within which a second Ctrl-C at an empty prompt leaves."""

CALM = 1.0
"""Seconds after a stopped reply in which Ctrl-C at the prompt is only an echo of the stop."""


class Chat:
    """One conversation at a terminal, from the first prompt until the person leaves."""

    def __init__(
        self,
        waking: "Waking[Runtime]",
        screen: Screen,
        signals: Signals,
        *,
        greeting: str,
        history: Path | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.screen = screen
        self._waking = waking
        self._signals = signals
        self._greeting = greeting
        self._kept = history is not None
        self._clock = clock
        self._keyboard = Keyboard(lambda line: commands.completions(self, line), history=history)
        self._code: int | None = None
        self._announced = False
        self._hinted = -TWICE
        self._stopped = -CALM
        self._draft = ""

    @property
    def runtime(self) -> "Runtime":
        """The runtime, once it is awake; Ctrl-C while waiting raises Interrupted."""
        if not self._waking.done:
            self.screen.note("waking up…")
        while not self._waking.wait(0.1):
            if self._signals.called:
                raise Interrupted("Still waking up; nothing was sent.")
        runtime = self._waking.result()
        self._announce()
        return runtime

    @property
    def awake(self) -> "Runtime | None":
        return self._waking.value

    def leave(self) -> None:
        self._code = 0

    def run(self) -> int:
        """Talk until the person leaves; returns the exit code, raises what the loading raised."""
        self.screen.say(self._greeting)
        try:
            with self._keyboard.silent(), self._signals.calling(self._called_at_prompt):
                while self._code is None:
                    self._once()
        finally:
            self._close()
        return self._code

    def _once(self) -> None:
        """One prompt, and what comes of it."""
        line = self._read()
        if self._waking.failed:
            self._waking.result()
        if line is None or not line.strip():
            return
        self._signals.forget()
        try:
            self._obey(line)
        except Interrupted as error:
            self._draft = line
            self.screen.note(str(error))
        except AnimaError as error:
            if self._waking.failed:
                raise
            self.screen.error(str(error))
        if self._signals.leave is not None:
            self._code = self._signals.leave

    def _read(self) -> str | None:
        """The next line; None where there is none, with the chat's end settled if it is one."""
        draft, self._draft = self._draft, ""
        try:
            return self._keyboard.read(draft, opened=self._opened)
        except KeyboardInterrupt:
            self._interrupted_at_prompt()
        except EOFError:
            self._code = self._signals.leave or 0
        return None

    def _opened(self) -> None:
        """The prompt is open: now, and not before, the loading may take the processor."""
        self._waking.start(self._woken)
        if self._signals.leave is not None:
            self._keyboard.close()

    def _interrupted_at_prompt(self) -> None:
        now = self._clock()
        if now - self._stopped < CALM:
            return
        if now - self._hinted < TWICE:
            self._code = 0
            return
        self._hinted = now
        self.screen.note("Ctrl-C again leaves; so do Ctrl-D and /exit.")

    def _called_at_prompt(self) -> None:
        if self._signals.hung_up:
            self.screen.mute()
        if self._signals.leave is not None:
            self._keyboard.close()

    def _obey(self, line: str) -> None:
        if commands.is_command(line):
            commands.dispatch(self, line)
            return
        text, _ = typed(commands.message(line))
        self.stream(self.runtime.turn(text))

    def stream(self, events: Iterator[Event]) -> None:
        """Show a turn as it comes; a signal ends it at the next token, and it is kept."""
        stop = self.runtime.stop
        taken = turns.until_stopped(events, stop, self.screen, self._signals)
        with contextlib.closing(taken):
            for event in taken:
                self._show(event)
        self.screen.end_answer()
        if self._signals.presses:
            self._stopped = self._clock()

    def _show(self, event: Event) -> None:
        match event:
            case Token():
                self.screen.answer(event.text)
            case Recomputed():
                self.screen.note(turns.recomputed(event))
            case Replied():
                self.screen.end_answer()
                if remark := turns.ended(event):
                    self.screen.note(remark)
                self.screen.note(turns.figures(event))
            case Notice():
                self.screen.note(event.message)

    def _woken(self) -> None:
        """In the loading thread, at its end: bring the news to an open prompt."""
        if self._waking.failed:
            self._keyboard.close()
        elif self._news():
            self._keyboard.beside(self._announce)

    def _announce(self) -> None:
        """Say once what the loading had to say."""
        if not self._announced:
            self._announced = True
            for line in self._news():
                self.screen.note(line)

    def _news(self) -> list[str]:
        runtime = self._waking.value
        if runtime is None:
            return []
        going_on = f"Going on in session {runtime.session}, {turns.count(runtime.turns, 'turn')}."
        return [*runtime.notices, *([going_on] if runtime.turns else [])]

    def _close(self) -> None:
        runtime = self._waking.value
        if runtime is None:
            return
        runtime.close()
        if runtime.turns and self._kept:
            self.screen.note(f"Saved. anima --continue goes on here ({runtime.session}).")

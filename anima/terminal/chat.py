"""The chat: one prompt, one turn, and again; knows the runtime's events and no model.

The input line is open while the runtime loads in a thread. While a reply streams no prompt is
live, and nothing that was printed is ever drawn again.
"""

import contextlib
import queue
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from anima.errors import AnimaError, Interrupted, StorageError
from anima.events import (
    Event,
    ModeChanged,
    Notice,
    Persisted,
    Recalled,
    Recomputed,
    Remembered,
    Replied,
    Steered,
    Thinking,
    Thought,
    Token,
)
from anima.home import Home
from anima.terminal import aloud, commands, commands_sessions, toolbar, turns
from anima.terminal.keyboard import Keyboard
from anima.terminal.layout import wrapped
from anima.terminal.screen import Screen, typed
from anima.terminal.signals import Signals
from anima.terminal.waking import Waking

if TYPE_CHECKING:
    from anima.runtime.loop import Runtime

TWICE = 2.0
"""Seconds within which a second Ctrl-C at an empty prompt leaves."""

CALM = 1.0
"""Seconds after a stopped reply in which Ctrl-C at the prompt is only an echo of the stop."""

HISTORY = "input_history"

BARE = ("exit", "quit", "help")
"""Words that alone on a line are more likely meant as a command than as a message."""


class Chat:
    """One conversation at a terminal, from the first prompt until the person leaves.

    `kept` says whether it outlasts this; `facts` whether the toolbar is shown; `cot` whether turns
    are shown from inside.
    """

    def __init__(
        self,
        waking: "Waking[Runtime]",
        screen: Screen,
        signals: Signals,
        *,
        home: Home,
        persona: str,
        greeting: str,
        kept: bool = True,
        facts: bool = True,
        color: bool = False,
        cot: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.screen = screen
        self.home = home
        self.kept = kept
        self._persona = persona
        self._waking = waking
        self._signals = signals
        self._greeting = greeting
        self._clock = clock
        self._cot = cot
        self._keyboard = Keyboard(
            lambda line: commands.completions(self, line),
            history=home.persona(persona) / HISTORY if kept else None,
            toolbar=self._toolbar if facts else None,
            complain=screen.error,
            color=color,
        )
        self._code: int | None = None
        self._announced = False
        self._hinted = -TWICE
        self._stopped = -CALM
        self._draft = ""
        self._pointed_at = ""
        self._facts = toolbar.facts(None, persona, None)
        self._meanwhile: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._replied: Replied | None = None

    @property
    def runtime(self) -> "Runtime":
        """The runtime, once it is awake; Ctrl-C while waiting raises Interrupted."""
        if not self._waking.done:
            self.screen.note("waking up…")
            with self._keyboard.listening(self._signals.press):
                while not self._waking.wait(0.1):
                    if self._signals.called:
                        raise Interrupted("Still waking up; nothing was sent.")
        runtime = self._waking.result()
        self._announce()
        return runtime

    @property
    def awake(self) -> "Runtime | None":
        return self._waking.value

    @property
    def width(self) -> int:
        return self._keyboard.width

    @property
    def from_inside(self) -> bool:
        return self._cot

    def leave(self) -> None:
        self._code = 0

    def suggest(self, text: str) -> None:
        self._draft = text

    def tell(self, sequence: str) -> bool:
        return self._keyboard.tell(sequence)

    def edit(self, text: str) -> str:
        try:
            return self._keyboard.edit(text)
        finally:
            self._signals.forget()  # a Ctrl-C in there was for the editor

    def run(self) -> int:
        """Talk until the person leaves; returns the exit code, raises what the loading raised."""
        self.screen.say(self._fitted(self._greeting))
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
            self._note(str(error))
        except AnimaError as error:
            if self._waking.failed:
                raise
            self.screen.error(self._fitted(str(error)))
        if self._signals.leave is not None:
            self._code = self._signals.leave

    def _read(self) -> str | None:
        """The next line; None where there is none, with the chat's end settled if it is one."""
        draft, self._draft = self._draft, ""
        self._look()
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
        self._signals.forget()
        now = self._clock()
        if now - self._stopped < CALM:
            return
        if now - self._hinted < TWICE:
            self._code = 0
            return
        self._hinted = now
        self._note("Ctrl-C again leaves; so do Ctrl-D and /exit.")

    def _called_at_prompt(self) -> None:
        if self._signals.hung_up:
            self.screen.mute()
        if self._signals.leave is not None:
            self._keyboard.close()
        elif self._signals.presses:
            self._keyboard.interrupt()

    def _obey(self, line: str) -> None:
        if commands.is_command(line):
            commands.dispatch(self, line)
            return
        if self._meant(line):
            return
        text, _ = typed(commands.message(line))
        runtime = self.runtime
        if self._cot:
            self._reason(runtime, text)
        self.stream(runtime.turn(text))

    def _reason(self, runtime: "Runtime", text: str) -> None:
        """Show a reasoning step on a text; Interrupted where the person stops it."""
        if not text.strip():
            return
        self._note(aloud.LABEL)
        replied = self.collect(aloud.reasoning(runtime, text))
        if replied is None or replied.finish == "stopped":
            raise Interrupted("Stopped while it reasoned; nothing was sent.")
        self._note(aloud.step_of(replied))

    def _meant(self, line: str) -> bool:
        """Whether a bare word is held back, once, because a command was probably meant."""
        word, before = line.strip().lower(), self._pointed_at
        self._pointed_at = word
        if word not in BARE or word == before:
            return False
        self._draft = f"/{word}"
        self._note(f"The command is /{word}: Enter runs it. Sent once more, {word} is a message.")
        return True

    def stream(self, events: Iterator[Event]) -> Replied | None:
        """Show a turn as it comes; a signal ends it at the next token, and it is kept."""
        if not self._cot:
            return self._take(events, self._show)
        from_inside = aloud.Aloud(self.runtime)
        return self._take(events, lambda event: self._show_aloud(event, from_inside))

    def collect(self, events: Iterator[Event]) -> Replied | None:
        """Take a turn without showing it."""
        return self._take(events, lambda event: None)

    def _take(self, events: Iterator[Event], show: Callable[[Event], None]) -> Replied | None:
        replied: Replied | None = None
        taken = turns.until_stopped(events, self.runtime.stop, self.screen, self._signals)
        listening = self._keyboard.listening(self._signals.press, self._take_line)
        try:
            with listening, contextlib.closing(taken):
                for event in taken:
                    self._obey_meanwhile()
                    replied = event if isinstance(event, Replied) else replied
                    show(event)
        except StorageError as error:
            self._show_figures()
            self.screen.error(
                f"{error} The turn stands, and is saved with the next one that can be."
            )
        self._show_figures()
        self.screen.end_answer()
        self._obey_meanwhile()
        if self._signals.presses:
            self._stopped = self._clock()
        return replied

    def _take_line(self, line: str) -> bool:
        """In the listening thread: keep a line that acts on the reply which streams."""
        if not commands.is_live(line):
            return False
        self._meanwhile.put(line)
        return True

    def _obey_meanwhile(self) -> None:
        """Run what was typed while a reply streams, between two of its tokens."""
        with contextlib.suppress(queue.Empty):
            while True:
                line = self._meanwhile.get_nowait()
                try:
                    commands.dispatch(self, line)
                except AnimaError as error:
                    self.screen.error(self._fitted(str(error)))

    def _show(self, event: Event) -> None:
        match event:
            case Token():
                self.screen.answer(event.text)
            case Thinking() | Thought():
                self._show_thought(event)
            case Recalled() | Remembered():
                self._show_memory(event)
            case Recomputed():
                self._note(turns.recomputed(event))
            case Replied():
                self.screen.end_answer()
                if remark := turns.ended(event):
                    self._note(remark)
                self._replied = event
            case ModeChanged():
                self._note(turns.mode_changed(event))
            case Steered():
                self._show_figures(event)
                if remark := turns.scaled(event):
                    self._note(remark)
            case Persisted():
                self._show_figures()
            case Notice():
                self._note(event.message)

    def _show_thought(self, event: Thinking | Thought) -> None:
        """A stage before the answer, under its name."""
        if isinstance(event, Thinking):
            self.screen.murmur(event.stage, event.text)
        else:
            self.screen.hush()

    def _show_memory(self, event: Recalled | Remembered) -> None:
        """What the memory brought into a turn, and what a turn changed of what was known."""
        if isinstance(event, Recalled):
            if event.lines:
                self.screen.note(turns.recalled(event, self.width))
        elif remark := turns.replaced(event, self._remembered):
            self._show_figures()
            self._note(remark)

    def _remembered(self, seq: int) -> str:
        return self.runtime.memory.line(seq).text

    def _show_aloud(self, event: Event, from_inside: aloud.Aloud) -> None:
        """Token by token with what was active there; the reply stands whole below."""
        for seen in from_inside.look(event):
            self.screen.note(aloud.line(seen, self.width))
        if isinstance(event, Replied):
            self.screen.answer(event.text)
        if not isinstance(event, Token):
            self._show(event)

    def _show_figures(self, steered: Steered | None = None) -> None:
        """The line of figures, once for each reply: what was pushed is known only after it."""
        replied, self._replied = self._replied, None
        if replied is not None:
            self._note(turns.figures(replied, steered))

    def _note(self, text: str) -> None:
        self.screen.note(self._fitted(text))

    def _fitted(self, text: str) -> str:
        """A text broken at words where the window ends."""
        return "\n".join(wrapped(text, self.width))

    def _toolbar(self) -> str:
        return toolbar.line(self._facts, self.width)

    def _look(self) -> None:
        """Gather what the toolbar shows, once for each prompt and not at each key."""
        runtime = self._waking.value
        self._facts = toolbar.facts(runtime, self._persona, self._name())

    def _name(self) -> str | None:
        """The session's name; damaged names are the business of whoever asks for them."""
        if self.awake is None or not self.kept:
            return None
        try:
            return commands_sessions.name_of(self.home, self.awake)
        except AnimaError:
            return None

    def _woken(self) -> None:
        """In the loading thread, at its end: bring the news to an open prompt."""
        if self._waking.failed:
            self._keyboard.close()
            return
        self._look()
        self._keyboard.refresh()
        if not self._announced and self._news():
            self._keyboard.beside(self._announce)
        runtime = self._waking.value
        while runtime is not None and runtime.read_ahead():
            pass

    def _announce(self) -> None:
        """Say once what the loading had to say."""
        if not self._announced:
            self._announced = True
            for line in self._news():
                self._note(line)

    def _news(self) -> list[str]:
        runtime = self._waking.value
        if runtime is None:
            return []
        going_on = [turns.going_on(runtime, self._name())] if runtime.turns else []
        return [*runtime.notices, *going_on]

    def _close(self) -> None:
        runtime = self._waking.value
        if runtime is None:
            return
        runtime.close()
        if runtime.turns and self.kept:
            self._note(f"Saved. anima --continue goes on here ({runtime.session}).")

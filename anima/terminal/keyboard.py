"""The input line of the chat, drawn by prompt-toolkit; knows neither commands nor the model."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

Complete = Callable[[str], Sequence[str]]
"""What could stand in place of the last word of a line."""

PROMPT = "> "


class Keyboard:
    """Reads a person's lines. What they typed before is kept in `history`, for them alone to read.

    Enter sends, Alt-Enter begins a new line, a pasted text stays one. Ctrl-C clears a half-typed
    line.
    """

    def __init__(self, complete: Complete, *, history: Path | None) -> None:
        self._session: PromptSession[str] = PromptSession(
            message=f"\n{PROMPT}",  # an empty line between two turns
            multiline=True,
            prompt_continuation=" " * len(PROMPT),
            history=InMemoryHistory() if history is None else _KeptHistory(history),
            completer=LastWord(complete),
            complete_while_typing=True,
            reserve_space_for_menu=4,
            key_bindings=_bindings(),
            enable_suspend=True,
        )

    def read(self, text: str = "", *, opened: Callable[[], None] | None = None) -> str:
        """One message; `text` stands in the line already, `opened` is called when one can type.

        Raises KeyboardInterrupt for Ctrl-C at an empty line, EOFError for Ctrl-D or `close`.
        """
        return self._session.prompt(default=text, pre_run=opened)

    def close(self) -> None:
        """End a `read` from a signal or another thread; without one, do nothing."""
        self._in_prompt(self._end)

    def beside(self, action: Callable[[], None]) -> None:
        """Let an action print above the open line; without one, do nothing."""
        self._in_prompt(lambda: run_in_terminal(action))

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Echo nothing outside `read`; what is typed meanwhile waits for the next one."""
        try:
            import termios
        except ImportError:  # Windows, whose console does not echo by itself
            yield
            return
        try:
            descriptor = self._session.app.input.fileno()
            before = termios.tcgetattr(descriptor)
        except (OSError, ValueError, NotImplementedError, termios.error):
            yield
            return
        quiet = list(before)
        quiet[0] &= ~termios.ICRNL
        quiet[3] &= ~(termios.ECHO | termios.ICANON)

        def quieten(*_: object) -> None:
            if self._session.app.is_running:  # an open line has modes of its own
                return
            with contextlib.suppress(termios.error):  # a terminal that hangs up says so here too
                termios.tcsetattr(descriptor, termios.TCSANOW, quiet)

        # A shell hands the terminal back, after Ctrl-Z and fg, in the modes it likes itself.
        continued = signal.signal(signal.SIGCONT, quieten)
        quieten()
        try:
            yield
        finally:
            signal.signal(signal.SIGCONT, continued)
            with contextlib.suppress(termios.error):  # the terminal may be gone
                termios.tcsetattr(descriptor, termios.TCSANOW, before)

    def _in_prompt(self, action: Callable[[], object]) -> None:
        app = self._session.app
        if app.loop is not None and app.is_running:
            app.loop.call_soon_threadsafe(action, context=app.context)

    def _end(self) -> None:
        if not self._session.app.is_done:
            self._session.app.exit(exception=EOFError)


class _KeptHistory(FileHistory):
    """A file that only its owner reads; a disk that refuses costs the history, not the chat."""

    def load_history_strings(self) -> Iterable[str]:
        try:
            return super().load_history_strings()
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            path = Path(os.fsdecode(self.filename))
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600))
            super().store_string(string)


class LastWord(Completer):
    """Offers what `complete` finds in place of the last word before the cursor."""

    def __init__(self, complete: Complete) -> None:
        self._complete = complete

    def get_completions(self, document: Document, _: CompleteEvent) -> Iterator[Completion]:
        line = document.text_before_cursor
        word = line.rsplit(" ", 1)[-1]
        for found in self._complete(line):
            yield Completion(found, start_position=-len(word))


def _bindings() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    @keys.add(Keys.SIGINT)
    def _interrupt(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        elif not event.app.is_done:
            event.app.exit(exception=KeyboardInterrupt)

    return keys

"""The input line of the chat, drawn by prompt-toolkit; knows neither commands nor the model."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_session, run_in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import ColorDepth, DummyOutput
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import is_dumb_terminal

from anima.errors import AnimaError
from anima.terminal import editor
from anima.terminal.listening import Take, listening
from anima.terminal.modes import Modes
from anima.terminal.pasting import Pastes
from anima.terminal.plain_line import PlainLine

PROMPT = "> "

LONGEST_KEPT = 20_000
"""Characters of a message that still goes into the file of what was typed."""

_SHIFT_ENTER = ("\x1b[27;2;13~", "\x1b[13;2u")  # as xterm and as kitty report it


class Choice(NamedTuple):
    """One thing that could stand in the line, and a few words on it."""

    text: str
    about: str = ""


class Completed(NamedTuple):
    """What could stand in place of the last `replaced` characters before the cursor."""

    replaced: int
    choices: Sequence[Choice]


Complete = Callable[[str], Completed]
"""From the line up to the cursor to what could stand there; called in a thread."""


class Keyboard:
    """Reads a person's lines. What they typed before is kept in `history`, for them alone to read.

    Enter sends, Alt-Enter begins a new line, a pasted text stays one, and a long one is shown as a
    mark. Ctrl-C clears a half-typed line, Ctrl-X Ctrl-E opens it in an editor. `toolbar` is asked
    for the line of facts below the prompt, `complain` gets what went wrong there.
    """

    def __init__(
        self,
        complete: Complete,
        *,
        history: Path | None,
        toolbar: Callable[[], str] | None = None,
        complain: Callable[[str], None] = lambda message: None,
        color: bool = False,
    ) -> None:
        for sequence in _SHIFT_ENTER:  # to prompt-toolkit it is the same as Enter, or nothing
            ANSI_SEQUENCES[sequence] = (Keys.Escape, Keys.ControlM)
        self._pastes = Pastes()
        self._complain = complain
        self._editing = False
        self._output = get_app_session().output
        dumb = is_dumb_terminal()
        self._session: PromptSession[str] = PromptSession(
            message=f"\n{PROMPT}",  # an empty line between two turns
            multiline=True,
            prompt_continuation=" " * len(PROMPT),
            history=_history(history, self._pastes),
            completer=_Completer(complete),
            complete_while_typing=True,
            complete_in_thread=True,
            reserve_space_for_menu=4,
            key_bindings=self._bindings(),
            bottom_toolbar=toolbar,
            style=Style.from_dict({"bottom-toolbar": "noreverse"}),
            color_depth=None if color else ColorDepth.DEPTH_1_BIT,
            enable_suspend=True,
            output=DummyOutput() if dumb else None,
        )
        app = self._session.app
        # A terminal that does not tell where its cursor is lacks the toolbar, not a warning.
        app.renderer.cpr_not_supported_callback = lambda: None
        self._modes = Modes(app.input, app.output, lambda: app.is_running, self._draw_again)
        self._plain = PlainLine(app.input, self._output, f"\n{PROMPT}") if dumb else None

    @property
    def width(self) -> int:
        """Columns of the window, now."""
        return self._output.get_size().columns

    def read(self, text: str = "", *, opened: Callable[[], None] | None = None) -> str:
        """One message; `text` stands in the line already, `opened` is called when one can type.

        Raises KeyboardInterrupt for Ctrl-C at an empty line, EOFError for Ctrl-D or `close`.
        """
        if self._plain:
            return self._plain.read(opened)
        try:
            line = self._session.prompt(default=self._pastes.short(text), pre_run=opened)
        finally:
            self._modes.quieten()
        return self._pastes.whole(line)

    def close(self) -> None:
        """End a `read` from a signal or another thread; without one, do nothing."""
        if self._plain:
            self._plain.close()
        self._in_prompt(self._end)

    def interrupt(self) -> None:
        """Pass Ctrl-C on to a `read` that does not see it as a key; without one, do nothing."""
        if self._plain:
            self._plain.interrupt()

    def beside(self, action: Callable[[], None]) -> None:
        """Let an action print above the open line; without one, do nothing."""
        if self._plain:
            self._plain.beside(action)
        self._in_prompt(lambda: run_in_terminal(action))

    def refresh(self) -> None:
        """Ask for the toolbar's facts again, from any thread."""
        self._in_prompt(self._session.app.invalidate)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Echo nothing outside `read`; what is typed meanwhile waits for the next one."""
        if self._plain:
            yield
            return
        with self._modes:
            yield

    @contextlib.contextmanager
    def listening(
        self, stop: Callable[[], None], take: Take = lambda line: False
    ) -> Iterator[None]:
        """Outside `read`, call `stop` in a thread for each Esc, and `take` for each whole line.

        A line that is not taken, and other keys, wait for the next `read`.
        """
        if self._plain:
            yield
            return
        with listening(self._session.app.input, stop, take):
            yield

    def edit(self, text: str) -> str:
        """A text as a person leaves it in their editor, outside `read`; raises UsageError."""
        with self._modes.lent():
            return editor.edited(text, os.environ)

    def tell(self, sequence: str) -> bool:
        """Send a control sequence to the terminal; False where it would not know any."""
        if self._plain:
            return False
        self._output.write_raw(sequence)
        self._output.flush()
        return True

    def _in_prompt(self, action: Callable[[], object]) -> None:
        app = self._session.app
        # Read once: the prompt may end, and its loop close, while another thread stands here.
        loop, context = app.loop, app.context
        if loop is None or context is None or not app.is_running:
            return
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(action, context=context)

    def _end(self) -> None:
        if not self._session.app.is_done:
            self._session.app.exit(exception=EOFError)

    def _draw_again(self) -> None:
        """Draw the open line where the cursor is now: something else was printed below it."""
        app = self._session.app

        def draw() -> None:
            app.renderer.reset()
            app.invalidate()

        self._in_prompt(draw)

    async def _edit(self, buffer: Buffer) -> None:
        """Ctrl-X Ctrl-E: the line goes to the editor and comes back; whatever fails, it stays."""
        text = self._pastes.whole(buffer.text)
        self._editing = True
        try:
            saved = await run_in_terminal(lambda: editor.edited(text, os.environ), in_executor=True)
        except AnimaError as error:
            message = str(error)
            await run_in_terminal(lambda: self._complain(message))
            return
        finally:
            self._editing = False
        line = self._pastes.short(saved)
        buffer.document = Document(line, len(line))

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()
        writing = has_focus(DEFAULT_BUFFER)  # and not looking for something with Ctrl-R

        @keys.add("enter", filter=writing)
        def _send(event: KeyPressEvent) -> None:
            event.current_buffer.validate_and_handle()

        @keys.add("escape", "enter", filter=writing)
        def _new_line(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("c-c", filter=writing)
        @keys.add(Keys.SIGINT)
        def _interrupt(event: KeyPressEvent) -> None:
            if self._editing:
                return
            if event.current_buffer.text:
                event.current_buffer.reset()
            elif not event.app.is_done:
                event.app.exit(exception=KeyboardInterrupt)

        @keys.add("c-x", "c-e", filter=writing)
        def _open_editor(event: KeyPressEvent) -> None:
            event.app.create_background_task(self._edit(event.current_buffer))

        @keys.add(Keys.BracketedPaste, filter=writing)
        def _paste(event: KeyPressEvent) -> None:
            text = event.data.replace("\r\n", "\n").replace("\r", "\n")
            event.current_buffer.insert_text(self._pastes.short(text))

        @keys.add("backspace", filter=writing & Condition(lambda: self._mark() is not None))
        def _take_mark_out(event: KeyPressEvent) -> None:
            event.current_buffer.delete_before_cursor(len(self._mark() or ""))

        return keys

    def _mark(self) -> str | None:
        """The mark of a pasted text that stands right before the cursor."""
        return self._pastes.mark_before(self._session.default_buffer.document.text_before_cursor)


def _history(path: Path | None, pastes: Pastes) -> History:
    return InMemoryHistory() if path is None else _KeptHistory(path, pastes)


class _KeptHistory(FileHistory):
    """A file that only its owner reads; a disk that refuses costs the history, not the chat."""

    def __init__(self, path: Path, pastes: Pastes) -> None:
        super().__init__(path)
        self._pastes = pastes

    def load_history_strings(self) -> Iterable[str]:
        try:
            return super().load_history_strings()
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        whole = self._pastes.whole(string)  # a mark means nothing in the next chat
        if len(whole) > LONGEST_KEPT:
            return
        with contextlib.suppress(OSError):
            path = Path(os.fsdecode(self.filename))
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600))
            super().store_string(whole)


class _Completer(Completer):
    """Offers what `complete` finds for the line up to the cursor."""

    def __init__(self, complete: Complete) -> None:
        self._complete = complete

    def get_completions(self, document: Document, _: CompleteEvent) -> Iterator[Completion]:
        replaced, choices = self._complete(document.text_before_cursor)
        for choice in choices:
            about = choice.about or None
            yield Completion(choice.text, start_position=-replaced, display_meta=about)

"""The terminal between two prompts: no echo, whole pastes, and left as it was at Ctrl-Z and the end.

It knows descriptors and signals, and nothing of what is typed.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Self

from prompt_toolkit.input import Input
from prompt_toolkit.output import Output


class Modes:
    """While entered, what is typed is not echoed and waits; Ctrl-C and Ctrl-Z still are signals.

    `prompting` says whether an open line has modes of its own, `redraw` asks for that line again
    below what a shell has printed. Where there is no terminal, or one without such modes, it does
    nothing.
    """

    def __init__(
        self,
        input: Input,
        output: Output,
        prompting: Callable[[], bool],
        redraw: Callable[[], None] = lambda: None,
    ) -> None:
        self._input = input
        self._output = output
        self._prompting = prompting
        self._redraw = redraw
        self._descriptor: int | None = None
        self._before: list[Any] = []
        self._quiet: list[Any] = []
        self._handlers: list[tuple[int, Any]] = []
        self._lent = False

    def __enter__(self) -> Self:
        try:
            import termios
        except ImportError:  # Windows, whose console does not echo by itself
            return self
        try:
            descriptor = self._input.fileno()
            self._before = termios.tcgetattr(descriptor)
        except (OSError, ValueError, NotImplementedError, termios.error):
            return self
        self._quiet = [*self._before]
        self._quiet[0] &= ~termios.ICRNL
        self._quiet[3] &= ~(termios.ECHO | termios.ICANON)
        self._quiet[3] |= termios.NOFLSH  # Ctrl-C does not swallow what was typed before it
        self._descriptor = descriptor
        # A shell hands the terminal back, after Ctrl-Z and fg, in the modes it likes itself.
        self._handle(signal.SIGCONT, lambda number, frame: self.quieten())
        self._handle(signal.SIGTSTP, self._suspend)
        self.quieten()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers:
            signal.signal(number, handler)
        self._handlers.clear()
        self._restore()
        self._descriptor = None

    def quieten(self) -> None:
        """Echo nothing, and take a paste in one piece; again after a prompt, which undoes it."""
        if self._prompting() or self._lent:
            return
        self._set(self._quiet, self._output.enable_bracketed_paste)

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Another program has the terminal, as it was before all this."""
        self._restore()
        self._lent = True
        try:
            yield
        finally:
            self._lent = False
            self.quieten()

    def _restore(self) -> None:
        self._set(self._before, self._output.disable_bracketed_paste)

    def _suspend(self, number: int, _frame: FrameType | None) -> None:
        """Stop as Ctrl-Z asks, the terminal in order; goes on here after fg.

        As a key at an open line it comes with the line put away and the terminal as a shell wants
        it. As a signal it may come when a line has just opened and the terminal is raw.
        """
        now = self._now()
        self._restore()
        handler = signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, handler)
        if not self._prompting():
            self.quieten()
            return
        self._set(now, lambda: None)
        if _raw(now):
            self._redraw()

    def _now(self) -> list[Any]:
        """The terminal's modes; where there are none, those it would have between two prompts."""
        if self._descriptor is None:
            return self._quiet
        import termios

        try:
            return termios.tcgetattr(self._descriptor)
        except (OSError, termios.error):  # the terminal may be gone
            return self._quiet

    def _handle(self, number: int, handler: Callable[[int, FrameType | None], None]) -> None:
        self._handlers.append((number, signal.signal(number, handler)))

    def _ours(self) -> bool:
        """Whether this process may change the terminal: one in the background is stopped for it."""
        if self._descriptor is None:
            return False
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:  # not the terminal that controls it, so nothing is stopped
            return True

    def _set(self, modes: list[Any], paste: Callable[[], None]) -> None:
        if self._descriptor is None or not self._ours():
            return
        import termios

        with contextlib.suppress(OSError, termios.error):  # the terminal may be gone
            termios.tcsetattr(self._descriptor, termios.TCSANOW, modes)
            paste()
            self._output.flush()


def _raw(modes: list[Any]) -> bool:
    """Whether Ctrl-Z would arrive as a key: an open line reads such keys itself."""
    import termios

    return not modes[3] & termios.ISIG

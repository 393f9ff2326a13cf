"""Input at a terminal that cannot move its cursor (TERM=dumb), which echoes and edits by itself.

It knows lines and neither commands nor the model.
"""

import os
import select
from collections.abc import Callable

from prompt_toolkit.input import Input
from prompt_toolkit.output import Output

_CLOSE, _INTERRUPT = b"e", b"c"


class PlainLine:
    """Reads whole lines and draws nothing but the prompt."""

    def __init__(self, input: Input, output: Output, prompt: str) -> None:
        self._input = input
        self._output = output
        self._prompt = prompt
        self._bell, self._ring = os.pipe()
        self._rest = b""
        self._open = False

    def read(self, opened: Callable[[], None] | None = None) -> str:
        """The next line; raises KeyboardInterrupt for Ctrl-C, EOFError for Ctrl-D or `close`."""
        self._open = True
        try:
            self._say(self._prompt)
            if opened:
                opened()
            while b"\n" not in self._rest:
                self._rest += self._more()
        finally:
            self._open = False
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    def close(self) -> None:
        """End a `read` from a signal or another thread."""
        if self._open:
            os.write(self._ring, _CLOSE)

    def interrupt(self) -> None:
        """Let a `read` raise KeyboardInterrupt; the terminal itself has dropped what was typed."""
        if self._open:
            os.write(self._ring, _INTERRUPT)

    def beside(self, action: Callable[[], None]) -> None:
        """Let an action print, and the prompt come again below it."""
        if self._open:
            self._say("\n")
            action()
            self._say(self._prompt)

    def _more(self) -> bytes:
        descriptor = self._input.fileno()
        ready = select.select([descriptor, self._bell], [], [])[0]
        if self._bell in ready:
            self._say("\n")
            raise EOFError if os.read(self._bell, 1) == _CLOSE else KeyboardInterrupt
        try:
            read = os.read(descriptor, 65536)
        except OSError as error:  # the terminal is gone
            raise EOFError from error
        if not read:
            raise EOFError
        return read

    def _say(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()

"""A program in a terminal of its own, which an emulator draws: keys in, the screen out."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyte

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 60.0


class Window:
    """A terminal of some size with a program in it; `raw` is all that the program wrote."""

    def __init__(
        self,
        command: Sequence[str],
        columns: int = 80,
        rows: int = 24,
        environ: dict[str, str] | None = None,
    ) -> None:
        self.raw = b""
        self._screen = pyte.HistoryScreen(columns, rows, history=1000)
        self._screen.write_process_input = self.press  # type: ignore[method-assign]
        self._stream = pyte.ByteStream(self._screen)
        self._ended: int | None = None
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.chdir(ROOT)
            struct_size = struct.pack("HHHH", rows, columns, 0, 0)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct_size)
            os.execvpe(command[0], list(command), _environ() | (environ or {}))

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        self._screen.resize(rows, columns)
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    @property
    def lines(self) -> list[str]:
        """What stands on the screen now, without the space at the end of its lines."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """The screen as one text, without the empty lines at its end."""
        return "\n".join(self.lines).rstrip("\n")

    @property
    def everything(self) -> str:
        """What scrolled out of the window, and what stands in it."""
        above = [
            "".join(line[x].data for x in range(self._screen.columns)).rstrip()
            for line in self._screen.history.top
        ]
        return "\n".join([*above, self.text])

    def until(self, *texts: str) -> None:
        """Wait until all of these texts stand on the screen."""
        end = time.monotonic() + PATIENCE
        while not all(text in self.text for text in texts):
            if time.monotonic() > end or not self._read(0.05):
                raise AssertionError(f"{texts} did not come up. The screen:\n{self.text}")

    def until_again(self, text: str, count: int) -> None:
        """Wait until this text stands on the screen so many times."""
        end = time.monotonic() + PATIENCE
        while self.text.count(text) < count:
            if time.monotonic() > end or not self._read(0.05):
                raise AssertionError(f"{text!r} not {count} times. The screen:\n{self.text}")

    def until_more_after(self, text: str) -> None:
        """Wait until some words of a reply, and no toolbar, stand below this text."""
        end = time.monotonic() + PATIENCE
        while True:
            below = self.text.rpartition(text)[2]
            if len(below.split()) > 2 and " · " not in below:
                return
            if time.monotonic() > end or not self._read(0.05):
                raise AssertionError(f"Nothing came after {text!r}. The screen:\n{self.text}")

    def settle(self, seconds: float = 0.3) -> None:
        """Read what comes until nothing has come for some time."""
        before = None
        while before != self.raw:
            before = self.raw
            end = time.monotonic() + seconds
            while time.monotonic() < end and self._read(0.05):
                pass

    def end(self) -> int:
        """Wait for the program's end; its exit code, 128 and the number for a signal."""
        end = time.monotonic() + PATIENCE
        while self._ended is None:
            self._read(0.05)
            process, status = os.waitpid(self._process, os.WNOHANG)
            if process:
                code = os.waitstatus_to_exitcode(status)
                self._ended = code if code >= 0 else 128 - code
            elif time.monotonic() > end:
                raise AssertionError(f"It goes on running. The screen:\n{self.text}")
        while self._read(0.05) and select.select([self._terminal], [], [], 0)[0]:
            pass
        return self._ended

    def signal(self, number: int) -> None:
        os.kill(self._process, number)

    def signal_foreground(self, number: int) -> None:
        """To whatever has the terminal now, which a shell in this window may have started."""
        os.killpg(os.tcgetpgrp(self._terminal), number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ended is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        os.close(self._terminal)

    def _read(self, seconds: float) -> bool:
        """Take in what was written meanwhile; False where nobody can write any more."""
        if not select.select([self._terminal], [], [], seconds)[0]:
            return True
        try:
            written = os.read(self._terminal, 65536)
        except OSError:
            return False
        self.raw += written
        self._stream.feed(written)
        return bool(written)


def _environ() -> dict[str, str]:
    """The tests' own surroundings, and a terminal that can do what most can."""
    kept: dict[str, Any] = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    return kept | {
        "TERM": "xterm-256color",
        "NO_COLOR": "1",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
    }


def talker(*arguments: str) -> list[str]:
    """The command of a chat with a scripted runtime."""
    return [sys.executable, "-m", "tests.terminal.talker", *arguments]

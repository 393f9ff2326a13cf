"""Keeps the README true: its command table from the registry, its picture from the running chat.

    python -m tools.readme            # writes both
    python -m tools.readme --check    # says whether the table is up to date, writes nothing

The picture is the chat itself, typed into at a terminal of 80 × 24 and drawn as SVG by rich. It
knows the registry and the screen, and nothing of how either works.
"""

import argparse
import os
import pty
import re
import select
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anima.terminal.commands import COMMANDS

if TYPE_CHECKING:
    from rich.text import Text

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "chat.svg"
BEGIN, END = "<!-- commands -->", "<!-- /commands -->"
COLUMNS, LINES = 80, 24
TALK = ("What is the capital of France?", "Name three rivers in Europe.", "/undo")


def command_table() -> str:
    """The registry as a Markdown table."""
    rows = ["| command | does |", "|---|---|"]
    for command in COMMANDS:
        usage = command.usage.replace("|", "\\|")
        rows.append(f"| `{usage}` | {command.help} |")
    return "\n".join(rows)


def with_table(readme: str) -> str:
    """The README's text with the table between its two marks."""
    before, _, rest = readme.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"README.md has no {BEGIN} … {END} to put the commands between.")
    return f"{before}{BEGIN}\n{command_table()}\n{END}{after}"


class Terminal:
    """A program at a pseudo-terminal, its screen kept by an emulator: type, wait, look."""

    def __init__(self, command: Sequence[str], environ: dict[str, str]) -> None:
        import fcntl
        import termios

        import pyte

        class Answering(pyte.Screen):
            """The line editor asks where the cursor is; a terminal answers."""

            def write_process_input(_, data: str) -> None:
                self.type(data)

        self.screen = Answering(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self._child, self._terminal = pty.fork()
        if self._child == 0:
            os.execvpe(command[0], list(command), environ)
        size = struct.pack("HHHH", LINES, COLUMNS, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def wait_for(self, seen: Callable[[str], bool], seconds: float = 120) -> None:
        """Read until the screen's text satisfies `seen`; SystemExit shows it where it never does."""
        until = time.monotonic() + seconds
        while not seen(self.text):
            if time.monotonic() > until:
                raise SystemExit(f"The chat did not get there:\n{self.text}")
            self._read(0.1)
        self._read(0.3)

    def _read(self, seconds: float) -> None:
        while select.select([self._terminal], [], [], seconds)[0]:
            try:
                self._stream.feed(os.read(self._terminal, 65536))
            except OSError:  # the program has left
                return

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def close(self) -> None:
        """End the program as a person does, and wait for it."""
        self.type("\x04")
        self._read(2)
        os.close(self._terminal)
        os.waitpid(self._child, 0)


def talk() -> Terminal:
    """The chat after a short talk, greedy, in a home of its own; to be closed."""
    with tempfile.TemporaryDirectory() as home:
        environ = {**os.environ, "ANIMA_HOME": home, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        for name in ("NO_COLOR", "ANIMA_CONFIG"):
            environ.pop(name, None)
        command = [sys.executable, "-m", "anima", "--temperature", "0", "--max-tokens", "60"]
        terminal = Terminal(command, environ)
        terminal.wait_for(_at_prompt)
        for number, line in enumerate(TALK, 1):
            terminal.type(f"{line}\r")
            terminal.wait_for(_at_prompt_after(number))
        return terminal


def _at_prompt(text: str) -> bool:
    lines = [line for line in text.splitlines() if line]
    return any(line.rstrip() == ">" for line in lines)


def _at_prompt_after(entries: int) -> Callable[[str], bool]:
    """Whether as many entries have been typed as lines begin with the prompt, and it is back."""

    def seen(text: str) -> bool:
        return (
            _at_prompt(text) and sum(line.startswith("> ") for line in text.splitlines()) == entries
        )

    return seen


def draw(screen: Any) -> str:
    """The emulator's screen as SVG."""
    from rich.console import Console

    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115, PLW1514
    used = len("\n".join(screen.display).rstrip().splitlines())
    for row in range(used):
        console.print(_line(screen, row), soft_wrap=True)
    return console.export_svg(title="anima", unique_id="anima")


def _line(screen: Any, row: int) -> "Text":
    from rich.style import Style
    from rich.text import Text

    line = Text(no_wrap=True)
    for column in range(COLUMNS):
        cell = screen.buffer[row][column]
        color = None if cell.fg == "default" else _color(cell.fg)
        line.append(cell.data, Style(color=color, bold=cell.bold, italic=cell.italics))
    line.rstrip()
    return line


def _color(name: str) -> str:
    if re.fullmatch(r"[0-9a-f]{6}", name):
        return f"#{name}"
    return name.replace("brown", "yellow").replace("bright", "bright_")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    before = README.read_text(encoding="utf-8")
    after = with_table(before)
    if options.check:
        return int(before != after)
    README.write_text(after, encoding="utf-8")
    terminal = talk()
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(terminal.screen), encoding="utf-8")
    terminal.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Texts laid out for a window of some width; knows cells, and not what the texts say."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TextIO

from anima.terminal.ink import Span
from anima.terminal.screen import columns, shown
from anima.terminal.wrapping import Wrapping, cells

_BETWEEN = " │ "


def window(stream: TextIO) -> int | None:
    """The columns of the window that a stream is shown in, None where it is in none."""
    with contextlib.suppress(OSError, ValueError):  # no terminal, or no file at all
        return os.get_terminal_size(stream.fileno()).columns or None
    return None


def fitted(text: str, stream: TextIO) -> str:
    """A message broken at words where the window ends; in a pipe, for scripts, it stays as it is.

    A path that is longer than a line stays one word, to be copied.
    """
    width = window(stream)
    return text if width is None else "\n".join(_broken(text, width))


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, broken at words, and within those that no line holds."""
    return [piece for line in _broken(text, width) for piece in _cut(line, width)]


def _broken(text: str, width: int) -> list[str]:
    """The lines of a text, broken at words."""
    written: list[str] = []
    wrapping = Wrapping(lambda span: written.append(span.text), lambda: width)
    for line in shown(text).expandtabs().split("\n"):
        wrapping.begin()
        wrapping.put(Span(line))
        wrapping.end()
        written.append("\n")
    return "".join(written).split("\n")[:-1]


def _cut(line: str, width: int) -> Iterator[str]:
    """A line in pieces of at most so many cells."""
    piece, used = "", 0
    for character in line:
        taken = cells(character)
        if used + taken > width:
            yield piece
            piece, used = "", 0
        piece += character
        used += taken
    yield piece


def side_by_side(left: str, right: str, width: int) -> list[str]:
    """Two texts in two columns, as lines no wider than `width`."""
    column = (width - len(_BETWEEN)) // 2
    lines = [wrapped(text, column) for text in (left, right)]
    height = max(map(len, lines))
    padded = [[*each, *[""] * (height - len(each))] for each in lines]
    return [
        f"{one}{' ' * (column - cells(one))}{_BETWEEN}{other}".rstrip()
        for one, other in zip(*padded, strict=True)
    ]


def listing(rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Words and what they mean: in two columns, or below each other where those are too wide."""
    table = columns(rows)
    if max(map(cells, table)) <= width:
        return table
    return [
        line
        for word, meaning in rows
        for line in (word, *(f"  {piece}" for piece in wrapped(meaning, max(1, width - 2))))
    ]

"""A table of Markdown, whole, as lines that fit; knows rows of text and nothing of a stream."""

import io
import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal

from anima.terminal.ink import BOLD, CYAN, DIM, GREEN, ITALIC, PLAIN, UNDERLINE, Span, both
from anima.terminal.markdown_inline import code_end, scan
from anima.terminal.wrapping import cells

if TYPE_CHECKING:
    from rich.text import Text

Justify = Literal["left", "center", "right"]
Cell = list[Span]
Column = Sequence[Cell | None]

ENOUGH = 12
"""Cells that a column needs if it has as much to show; a table with narrower ones is of no use."""

_GAP = 3  # cells from one column to the next
_RICH = {
    PLAIN: "",
    BOLD: "bold",
    DIM: "dim",
    ITALIC: "italic",
    UNDERLINE: "underline",
    GREEN: "green",
    CYAN: "cyan",
}
_DELIMITERS = re.compile(r"\s*\|(?:[ \t]*:?-+:?[ \t]*\|)*(?:[ \t]*:?-+:?)?\s*")
_STEP = re.compile(r"\\.|`+|\|", re.DOTALL)


def is_delimiter(row: str) -> bool:
    """Whether a row is the one of dashes that makes the row before it a head."""
    return "-" in row and _DELIMITERS.fullmatch(row) is not None


def split(row: str) -> list[str]:
    """The cells of a row; a bar after a backslash or in code does not end one."""
    bare = row.strip().removeprefix("|")
    found: list[str] = []
    start = at = 0
    while step := _STEP.search(bare, at):
        at = step.end()
        if step.group() == "|":
            found.append(bare[start : step.start()])
            start = at
        elif step.group()[0] == "`":
            at = code_end(bare, step.start(), whole=True) or at
    if bare[start:].strip():
        found.append(bare[start:])
    return [cell.strip().replace(r"\|", "|") for cell in found]


def drawn(rows: Sequence[str], room: int, *, ascii_only: bool = False) -> list[str] | None:
    """The lines of the table for a terminal, styled; None where it does not fit `room` cells.

    The first row is its head, the second the one of dashes.
    """
    head, body = _read(rows)
    columns = list(zip_longest(head, *body))
    room -= _GAP * (len(columns) - 1)
    widths = _fitted([_natural(column) for column in columns], room)
    if widths is None:
        return None
    justify = _justified(split(rows[1]), len(columns))
    return _drawing(columns, justify, widths, ascii_only=ascii_only)


def listed(rows: Sequence[str]) -> list[Cell]:
    """The table where it is too wide: a line for each cell after its head, empty between rows."""
    head, body = _read(rows)
    lines: list[Cell] = [] if body else head
    for row in body:
        lines += [[]] if lines else []
        for title, cell in zip_longest(head, row):
            if cell:
                lines.append([*title, Span(": "), *cell] if title else cell)
    return lines


def _read(rows: Sequence[str]) -> tuple[list[Cell], list[list[Cell]]]:
    """The spans of each cell of the head, and of each row below it."""
    return _inline(split(rows[0]), BOLD), [_inline(split(row)) for row in rows[2:]]


def _inline(row: Sequence[str], style: str = PLAIN) -> list[Cell]:
    return [
        [Span(span.text, both(style, span.style)) for span in scan(cell, whole=True)[0]]
        for cell in row
    ]


def _justified(delimiters: Sequence[str], count: int) -> list[Justify]:
    found: list[Justify] = []
    for dashes in delimiters:
        if not dashes.endswith(":"):
            found.append("left")
        else:
            found.append("center" if dashes.startswith(":") else "right")
    left: list[Justify] = ["left"] * count
    return [*found, *left][:count]


def _natural(column: Column) -> int:
    """Cells in which a column needs no second line anywhere."""
    return max(1, *(cells("".join(span.text for span in cell or ())) for cell in column))


def _fitted(natural: Sequence[int], room: int) -> list[int] | None:
    """The widths of the columns: each what it needs, and the rest to those with the most lines."""
    widths = [min(width, ENOUGH) for width in natural]
    if sum(widths) > room:
        return None
    for _ in range(min(room, sum(natural)) - sum(widths)):
        index = max(range(len(widths)), key=lambda i: natural[i] / widths[i])
        widths[index] += 1
    return widths


def _drawing(
    columns: Sequence[Column],
    justify: Sequence[Justify],
    widths: Sequence[int],
    *,
    ascii_only: bool,
) -> list[str]:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    broken = any(_natural(c) > width for c, width in zip(columns, widths, strict=True))
    table = Table(
        box=box.ASCII2 if ascii_only else box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        header_style="",
        border_style="dim",
        leading=int(broken),  # rows of several lines need something between them
    )
    for (head, *_), side, width in zip(columns, justify, widths, strict=True):
        table.add_column(_text(head), justify=side, overflow="fold", width=width)
    for row in list(zip(*columns, strict=True))[1:]:
        table.add_row(*map(_text, row))
    console = Console(
        file=io.StringIO(),
        width=sum(widths) + _GAP * len(widths),
        force_terminal=True,
        color_system="standard",
        no_color=False,
        legacy_windows=False,
    )
    with console.capture() as capture:
        console.print(table)
    return capture.get().removesuffix("\n").split("\n")


def _text(cell: Cell | None) -> "Text":
    from rich.text import Text

    text = Text()
    for span in cell or ():
        text.append(span.text, " ".join(_RICH[code] for code in span.style.split(";")))
    return text

"""How a line of Markdown begins: as a heading, an item, a fence …; knows one line and no state."""

import re
from enum import Enum, auto
from typing import NamedTuple

from anima.terminal.highlight import Highlighter

LIMIT = 500
"""Characters within which it must be clear what a line is; else it is text."""

TAB = 4
"""Columns between two tab stops of indentation."""


class Kind(Enum):
    """What a line, or what follows the markers before, begins with."""

    BLANK = auto()
    QUOTE = auto()
    ITEM = auto()
    TASK = auto()
    HEADING = auto()
    RULE = auto()
    FENCE = auto()
    ROW = auto()
    TEXT = auto()


class Opening(NamedTuple):
    """The beginning of a line: its indentation, its marker, and what both take of the line."""

    kind: Kind
    indent: str = ""
    marker: str = ""
    length: int = 0


_INDENT = re.compile(r"[ \t]*")
_TASK = re.compile(r"\[[ xX]\][ \t]+(?=\S)")
_TASK_UNDECIDED = re.compile(r"\[(?:[ xX](?:\][ \t]*)?)?")
_UNDECIDED = re.compile(
    r">|\+[ \t]*|#{1,6}[ \t]*|\d{1,9}(?:[.)][ \t]*)?|([-*_])[ \t]*(?:\1[ \t]*)*"
    r"|`{1,2}|`{3,}[^`]*|~{1,2}|~{3,}.*",
    re.DOTALL,
)
_AT_ONCE = {
    Kind.QUOTE: re.compile(r"> ?"),
    Kind.HEADING: re.compile(r"#{1,6}[ \t]+(?=\S)"),
    Kind.ROW: re.compile(r"(?=\|)"),
}
_WHEN_WHOLE = {
    Kind.RULE: re.compile(r"([-*_])[ \t]*(?:\1[ \t]*){2,}"),
    Kind.FENCE: re.compile(r"`{3,}[^`]*|~{3,}.*", re.DOTALL),
}
_ITEM = re.compile(r"(?:[-*+]|\d{1,9}[.)])(?:[ \t]+|$)")


def opening(text: str, *, whole: bool, in_item: bool = False) -> Opening | None:
    """What `text` begins with; None while more of it must be seen. With `whole` nothing follows."""
    view = text[:LIMIT]
    full = len(view) == LIMIT
    found = _opening(view, whole=whole and not full, in_item=in_item)
    return Opening(Kind.TEXT) if found is None and full else found


def _opening(text: str, *, whole: bool, in_item: bool) -> Opening | None:
    indent = _indent(text)
    body = text[len(indent) :]
    if not body:
        return Opening(Kind.BLANK, length=len(text)) if whole else None
    if not whole and _UNDECIDED.fullmatch(body):
        return None
    if in_item and body[0] == "[":
        if task := _TASK.match(body):
            return _found(Kind.TASK, indent, task.group())
        if not whole and _TASK_UNDECIDED.fullmatch(body):
            return None
    for kind, pattern in _WHEN_WHOLE.items():
        if whole and pattern.fullmatch(body):
            return _found(kind, indent, body)
    for kind, pattern in _AT_ONCE.items():
        if marker := pattern.match(body):
            return _found(kind, indent, marker.group())
    if marker := _ITEM.match(body):
        return _found(Kind.ITEM, indent, marker.group())
    return _found(Kind.TEXT, indent, "")


def _found(kind: Kind, indent: str, marker: str) -> Opening:
    return Opening(kind, indent.expandtabs(TAB), marker, len(indent) + len(marker))


def _indent(text: str) -> str:
    found = _INDENT.match(text)
    return found.group() if found else ""


class Fence:
    """An open block of code: what closes it, what its lines are indented by, their colours."""

    def __init__(self, marker: str, *, indent: int, quotes: int) -> None:
        info = marker.lstrip(marker[0])
        self.mark = marker[: len(marker) - len(info)]
        self.info = info.strip()
        self.indent = indent
        self.quotes = quotes
        self._quoted = re.compile(rf"(?:[ \t]*> ?){{{quotes}}}")
        language = re.match(r"[\w+#.-]*", self.info.lstrip("{."))
        self.highlighter = Highlighter(language.group() if language else "")

    def body(self, line: str) -> str | None:
        """The line without the markers of the quote around the block; None if the quote is over."""
        quoted = self._quoted.match(line)
        return line[quoted.end() :] if quoted else None

    def closed_by(self, body: str) -> bool:
        bare = body.strip(" \t")
        indent = len(_indent(body).expandtabs(TAB))
        return (
            len(bare) >= len(self.mark)
            and not bare.strip(self.mark[0])
            and indent <= self.indent + 3
        )

    def code(self, body: str) -> str:
        """The line without the indentation that it shares with its fence."""
        column = 0
        for at, character in enumerate(body):
            column += TAB - column % TAB if character == "\t" else 1
            if character not in " \t" or column > self.indent:
                return body[at:]
        return ""

"""Words into lines as they come; knows the width of the window and nothing of Markdown.

What was written stays: a word is kept back only where it could turn out too long for its line.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from unicodedata import category

from anima.terminal.ink import Span

LONG = 32
"""Cells. A word that begins this far from the edge is written as it comes; a longer one breaks there."""

NARROWEST = 20
"""Cells. In a narrower window nothing is broken here; the terminal does it."""

TAB = 8
"""Cells between two tab stops of a terminal."""

_PIECE = re.compile(r"[ \t]+|[^ \t]+")
_JOINER = "\u200d"
_SKIN = range(0x1F3FB, 0x1F400)
_SMALL = frozenset("ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ")
_CLOSING = frozenset({"Pe", "Pf", "Po", "Lm"})  # categories of characters that begin no line
_OPENING = frozenset({"Ps", "Pi"})  # and of those that end none


class Wrapping:
    """Writes one line of text after the other, broken at words, through `emit`.

    The width is asked for at the beginning of each line. Nothing is emitted twice, and nothing is
    lost but the space at which a line is broken or with which it ends.
    """

    def __init__(self, emit: Callable[[Span], None], width: Callable[[], int]) -> None:
        self._emit = emit
        self._ask_width = width
        self.begin()

    def begin(self) -> None:
        """Stand at the beginning of a line of the text."""
        self._hang: list[Span] = []
        self._hang_cells = 0
        self._last = ""
        self._begin_row(0)
        self._forget_word()

    def mark(self, span: Span, hang: Span) -> None:
        """What precedes the text: `span` here, `hang` on the lines into which it is broken."""
        self._emit(span)
        self._column += cells(span.text)
        self._hang.append(hang)
        self._hang_cells += cells(hang.text)

    def put(self, span: Span) -> None:
        """A piece of the text, which may begin or end within a word."""
        for found in _PIECE.finditer(span.text):
            piece = found.group()
            if piece[0] in " \t":
                self._close()
                self._spaces.append(Span(piece, span.style))
            elif piece.isascii() and self._last.isascii():
                self._extend(Span(piece, span.style), len(piece))
            else:
                self._put_unspaced(piece, span.style)
            self._last = piece[-1]

    def end(self) -> None:
        """The line of the text is over; the space with which it ended is not written."""
        self._close()
        self._forget_word()

    @property
    def room(self) -> int:
        """Cells between here and the edge."""
        return max(1, self._width - self._column)

    def _begin_row(self, column: int) -> None:
        self._width = max(1, self._ask_width())
        self._column = column
        self._bare = True

    def _forget_word(self) -> None:
        self._spaces: list[Span] = []
        self._word: list[Span] = []
        self._word_cells = 0
        self._open = False  # whether what there is of the word is on the screen

    def _put_unspaced(self, piece: str, style: str) -> None:
        """Text in which a line may break beside a wide character."""
        for character in piece:
            width = _character_cells(character)
            if (self._word or self._open) and _may_break(self._last, character, width):
                self._close()
            self._extend(Span(character, style), width)
            self._last = character

    def _extend(self, chunk: Span, width: int) -> None:
        if self._open:
            self._emit(chunk)
            self._advance(width)
            return
        self._word.append(chunk)
        self._word_cells += width
        start = self._column + self._gap()
        if start + LONG <= self._width or self._width < NARROWEST:
            self._write_word()
        elif self._word_cells > self._width:
            self._place_word()  # longer than any line: it may as well appear

    def _close(self) -> None:
        """The word is whole."""
        if self._word:
            self._place_word()
        self._open = False

    def _place_word(self) -> None:
        """Write the word that was kept back, on a new line where it does not fit on this one."""
        ends = self._column + self._gap() + self._word_cells
        if ends > self._width and not self._bare:
            self._break()
        self._write_word()

    def _write_word(self) -> None:
        gap = self._gap()
        for span in (*self._spaces, *self._word):
            self._emit(span)
        self._advance(gap + self._word_cells)
        self._forget_word()
        self._open = True
        self._bare = False

    def _break(self) -> None:
        self._emit(Span("\n"))
        self._begin_row(0)
        self._spaces = []
        if self._hang_cells + NARROWEST // 2 <= self._width:
            self._column = self._hang_cells
            for span in self._hang:
                self._emit(span)

    def _advance(self, width: int) -> None:
        """The terminal breaks by itself what runs over its edge."""
        self._column += width
        if self._column > self._width:
            self._column = (self._column - 1) % self._width + 1

    def _gap(self) -> int:
        """Cells of the space before the word."""
        column = self._column
        for span in self._spaces:
            for character in span.text:
                column += TAB - column % TAB if character == "\t" else 1
        return column - self._column


def _may_break(last: str, character: str, width: int) -> bool:
    """Whether a line may break between the two without a space: beside wide characters."""
    if width == 0 or (width == 1 and _character_cells(last) != 2):
        return False
    if last == _JOINER or ord(character) in _SKIN:
        return False
    if category(character) in _CLOSING or character in _SMALL:
        return False
    return category(last) not in _OPENING


def cells(text: str) -> int:
    """The cells that a text fills, each character for itself, so that a split changes nothing."""
    return len(text) if text.isascii() else sum(map(_character_cells, text))


@lru_cache(4096)
def _character_cells(character: str) -> int:
    from rich.cells import get_character_cell_size

    return get_character_cell_size(character)

"""Markdown as it streams: what is certain is printed at once, and nothing printed is touched again.

It knows neither events nor the screen. Without colour the text passes as it is, markers and all:
they are what then tells a heading from a sentence, and a pipe wants the text itself; in a window
its lines, but those of code, are broken at words. In colour
the markers give way to styles, and all else of the text is printed in its order, each of its lines
on a new line. Struck-out text keeps its tildes: not every terminal can strike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from anima.terminal import markdown_table
from anima.terminal.ink import BOLD, DIM, GREEN, ITALIC, PLAIN, UNDERLINE, Span, both, painted
from anima.terminal.markdown_blocks import Fence, Kind, Opening, opening
from anima.terminal.markdown_inline import CONTEXT, scan
from anima.terminal.screen import shown
from anima.terminal.wrapping import Wrapping

LONGEST_HELD = 4000
"""Characters of a line of code or of a table; a longer one is printed as it comes."""

LONGEST_TABLE = 200
"""Lines; what follows them is printed as plain lines."""

MOST_MARKERS = 16
"""Quotes and items that one line begins; what follows them is text."""

LONGEST_RULE = 40
"""Cells. A line across the whole window would break when the window is made narrower."""

INDENTED = 4
"""Columns of indentation that make a line code where no list could have caused them."""

_FENCES = ("```", "~~~")
_HEADINGS = {1: both(BOLD, UNDERLINE), 2: BOLD}
_LOWER_HEADING = both(BOLD, ITALIC)


class Glyphs(NamedTuple):
    """What stands for the markers that are not letters."""

    bullet: str
    bar: str
    dash: str
    code: str
    code_end: str


UNICODE = Glyphs(bullet="•", bar="│", dash="─", code="╭─ ", code_end="╰─")
ASCII = Glyphs(bullet="*", bar="|", dash="-", code="--- ", code_end="---")


class _Stage(Enum):
    """How far a line is understood."""

    OPEN = auto()  # what it is, or what follows its markers, is not clear yet
    TEXT = auto()  # text with inline constructs, broken at words
    RAW = auto()  # text that passes as it is
    DONE = auto()


@dataclass(kw_only=True)
class _Line:
    """The line of the text that is being read: `rest` is what of it was not printed yet."""

    rest: str = ""
    before: str = ""
    stage: _Stage = _Stage.OPEN
    kind: Kind = Kind.BLANK
    style: str = PLAIN
    quotes: int = 0
    column: int = 0
    touched: bool = False
    markers: int = 0
    item: bool = False
    indented: bool = False
    held: bool = False


class MarkdownStream:
    """Prints a text that comes in pieces: as Markdown in colour, or as it is without.

    `write` gets whole escape sequences, and every style ends in the string in which it began.
    `width` is asked for the columns of the window at each line; without colour `windowed` says
    whether there is one. How a text was split changes neither its characters nor their styles.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        width: Callable[[], int],
        color: bool,
        glyphs: Glyphs = UNICODE,
        windowed: bool = False,
    ) -> None:
        self._write = write
        self._color = color
        self._windowed = windowed
        self._in_code = False
        self._glyphs = glyphs
        self._width = width
        self._spans: list[Span] = []
        self._wrapping = Wrapping(self._spans.append, width)
        self._begin()

    def feed(self, piece: str) -> None:
        """Take the next piece; control characters in it are dropped."""
        text = shown(piece)
        if not self._color:
            self._feed_plain(text)
            return
        *lines, rest = text.split("\n")
        for line in lines:
            self._take(line, ended=True)
            self._end_line()
        if rest:
            self._take(rest, ended=False)
        self._flush()

    def _feed_plain(self, text: str) -> None:
        """The text with its markers; in a window every line but those of code broken at words."""
        if not self._windowed:
            if text:
                self._write(text)
            return
        *lines, rest = text.split("\n")
        for line in lines:
            self._put_plain(line)
            self._wrapping.end()
            self._newline()
            if self._line.before.lstrip().startswith(_FENCES):
                self._in_code = not self._in_code
            self._begin_line()
        self._put_plain(rest)
        self._flush()

    def _put_plain(self, text: str) -> None:
        self._line.before += text
        if self._in_code:
            self._print(text)
        else:
            self._wrapping.put(Span(text))

    @property
    def in_block(self) -> bool:
        """Whether a block is open that nothing may come between: code, or a table."""
        return bool(self._fence or self._table)

    def finish(self) -> None:
        """Print what was kept back and close what is open; the next piece begins a new text.

        A last line that the text did not end is not ended here either, but for a row of a table.
        """
        if not self._color:
            self._wrapping.end()
        if self._line.touched:
            self._take("", ended=True)
        self._close_table()
        if self._fence:
            if self._line.touched:
                self._newline()
            self._print(self._glyphs.code_end, DIM)
        self._flush()
        self._begin()

    def _begin(self) -> None:
        self._fence: Fence | None = None
        self._table: list[str] = []
        self._after_blank = True
        self._after_indented = False
        self._in_list = False
        self._in_code = False
        self._begin_line()

    def _begin_line(self) -> None:
        self._line = _Line()
        self._wrapping.begin()

    def _print(self, text: str, style: str = PLAIN) -> None:
        self._spans.append(Span(text, style))

    def _newline(self) -> None:
        self._print("\n")

    def _flush(self) -> None:
        if self._spans:
            text = painted(self._spans)
            self._spans.clear()
            self._write(text)

    def _take(self, text: str, *, ended: bool) -> None:
        """More of the line; `ended` if that is all of it."""
        line = self._line
        line.touched = True
        line.rest += text
        while line.stage is _Stage.OPEN and self._advance(ended):
            pass
        if line.stage is _Stage.TEXT:
            self._print_text(ended)
        elif line.stage is _Stage.RAW:
            self._print(line.rest)
            line.rest = ""

    def _end_line(self) -> None:
        line = self._line
        if not line.held:
            self._newline()
        blank = line.kind is Kind.BLANK and not line.markers
        if line.item:
            self._in_list = True
        elif not blank and self._after_blank and not line.indented:
            self._in_list = False
        self._after_blank = blank
        self._after_indented = line.stage is _Stage.RAW
        self._begin_line()

    def _advance(self, ended: bool) -> bool:
        """Understand the line by one marker more; False where more of it must be seen."""
        line = self._line
        if self._fence:
            return self._advance_code(self._fence, ended)
        found: Opening | None = Opening(Kind.TEXT)
        if line.markers < MOST_MARKERS:
            found = opening(line.rest, whole=ended, in_item=line.item)
        if found is None:
            return False
        line.kind = found.kind
        line.indented = line.indented or bool(found.indent)
        if self._is_indented_code(found):
            self._close_table()
            line.stage = _Stage.RAW
            return True
        if found.kind is Kind.ROW and not line.markers:
            return self._advance_table(ended)
        self._close_table()
        self._open(found)
        return True

    def _is_indented_code(self, found: Opening) -> bool:
        if found.kind is Kind.BLANK or self._line.markers or self._in_list:
            return False
        return len(found.indent) >= INDENTED and (self._after_blank or self._after_indented)

    def _open(self, found: Opening) -> None:
        """Print the marker that was found, and know what follows it."""
        line = self._line
        line.rest = line.rest[found.length :]
        line.column += len(found.indent) + len(found.marker)
        if found.indent and found.kind not in (Kind.BLANK, Kind.FENCE):
            self._mark(found.indent)
        match found.kind:
            case Kind.QUOTE:
                line.quotes, line.column = line.quotes + 1, 0
                self._mark(f"{self._glyphs.bar} ", DIM, repeat=True)
            case Kind.ITEM:
                line.item = True
                self._open_item(found.marker)
            case Kind.TASK:
                done = "x" in found.marker.lower()
                self._mark(found.marker[:3], GREEN if done else PLAIN)
                self._mark(found.marker[3:])
            case Kind.HEADING:
                level = len(found.marker.rstrip())
                line.style = _HEADINGS.get(level, _LOWER_HEADING)
                line.stage = _Stage.TEXT
            case Kind.RULE:
                room = min(self._wrapping.room, LONGEST_RULE)
                self._print(self._glyphs.dash * room, DIM)
                line.stage = _Stage.DONE
            case Kind.FENCE:
                self._open_fence(found.marker)
            case Kind.BLANK:
                line.stage = _Stage.DONE
            case Kind.TEXT | Kind.ROW:
                line.stage = _Stage.TEXT
        line.markers += found.kind in (Kind.QUOTE, Kind.ITEM)

    def _mark(self, text: str, style: str = PLAIN, *, repeat: bool = False) -> None:
        """A marker; on the lines into which its line is broken it is repeated or space."""
        hang = text if repeat else " " * len(text)
        self._wrapping.mark(Span(text, style), Span(hang, style if repeat else PLAIN))

    def _open_item(self, marker: str) -> None:
        sign = marker.rstrip()
        space = marker[len(sign) :].expandtabs(INDENTED)
        self._mark(self._glyphs.bullet if sign in "-*+" else sign, BOLD)
        self._mark(space or " ")

    def _open_fence(self, marker: str) -> None:
        line = self._line
        indent = line.column - len(marker)
        self._fence = Fence(marker, indent=indent, quotes=line.quotes)
        self._print(f"{self._glyphs.code}{self._fence.info}".rstrip(), DIM)
        line.stage = _Stage.DONE

    def _advance_code(self, fence: Fence, ended: bool) -> bool:
        """A line in a fence: it is held until it is whole, for its colours and its end."""
        line = self._line
        if len(line.rest) >= LONGEST_HELD:
            line.rest = fence.code(line.rest)
            line.stage = _Stage.RAW
            return True
        if not ended:
            return False
        body = fence.body(line.rest)
        if body is None or fence.closed_by(body):
            self._fence = None
        for _ in range(fence.quotes if body is not None else 0):
            self._mark(f"{self._glyphs.bar} ", DIM)
        if self._fence and body is not None:
            self._spans.extend(fence.highlighter.line(fence.code(body)))
        else:
            self._print(self._glyphs.code_end, DIM)
        if body is None:  # the quote around it is over, and this line is none of it
            self._newline()
            return True
        line.stage = _Stage.DONE
        line.kind = Kind.FENCE
        return False

    def _advance_table(self, ended: bool) -> bool:
        """A line that begins with a bar: it is held until it is clear whether it is in a table."""
        line = self._line
        if len(line.rest) >= LONGEST_HELD:
            self._close_table()
            line.stage = _Stage.TEXT
            return True
        if not ended:
            return False
        whole = len(self._table) == LONGEST_TABLE
        headless = len(self._table) == 1 and not markdown_table.is_delimiter(line.rest)
        if whole or headless:
            self._close_table()
        self._table.append(line.rest)
        line.stage = _Stage.DONE
        line.held = True
        return False

    def _close_table(self) -> None:
        """Print the rows that were held: as a table, or as lines where it is none or too wide."""
        rows, self._table = self._table, []
        if not rows:
            return
        indent = " " * (len(rows[0]) - len(rows[0].lstrip()))
        if len(rows) == 1:
            self._print_line(indent, scan(rows[0].lstrip(), whole=True)[0])
            return
        ascii_only = self._glyphs == ASCII
        room = self._width() - len(indent)
        drawn = markdown_table.drawn(rows, room, ascii_only=ascii_only)
        for text in drawn or ():
            self._print(f"{indent}{text.rstrip()}\n")
        if drawn is None:
            for spans in markdown_table.listed(rows):
                self._print_line(indent, spans)

    def _print_line(self, indent: str, spans: list[Span]) -> None:
        """A line that was held, before the one that is being read."""
        self._wrapping.begin()
        self._wrapping.mark(Span(indent), Span(f"{indent}  "))
        for span in spans:
            self._wrapping.put(span)
        self._wrapping.end()
        self._newline()
        self._wrapping.begin()

    def _print_text(self, ended: bool) -> None:
        line = self._line
        text = line.before + line.rest
        spans, at = scan(text, len(line.before), whole=ended)
        for span in spans:
            self._wrapping.put(Span(span.text, both(line.style, span.style)))
        line.before, line.rest = text[max(0, at - CONTEXT) : at], text[at:]
        if ended:
            self._wrapping.end()

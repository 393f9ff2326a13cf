"""Plain output: the answer to one stream, all else to the other; knows no events and no model.

What a model wrote is data: nothing in it may move the cursor, colour the screen or turn the
direction of other text.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

import click

from anima.errors import StorageError
from anima.terminal.ink import Span

if TYPE_CHECKING:
    from anima.terminal.markdown import MarkdownStream
    from anima.terminal.wrapping import Wrapping

UNKNOWN_WIDTH = 80
"""Columns, where no terminal says how many it has."""

_CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1 with DEL, but for tab and line feed
_DIRECTION = r"\u202a-\u202e\u2066-\u2069"  # bidirectional embeddings, overrides and isolates
_SURROGATE = r"\ud800-\udfff"  # halves of characters, which no encoding can write
_UNSAFE_TO_READ = re.compile(f"[{_CONTROL}]")
_UNSAFE_TO_SHOW = re.compile(f"[{_CONTROL}{_DIRECTION}{_SURROGATE}]")


def shown(text: str) -> str:
    """The text as it may reach a screen: without control characters, overrides and surrogates."""
    return _UNSAFE_TO_SHOW.sub("", text)


def typed(text: str) -> tuple[str, int]:
    """The text as it may reach the model, and how many control characters were taken out of it."""
    return _UNSAFE_TO_READ.subn("", text.replace("\r\n", "\n").replace("\r", "\n"))


def json_shown(line: str) -> str:
    """A line of JSON with the same characters escaped, so that its content stays exact."""
    return _UNSAFE_TO_SHOW.sub(lambda found: f"\\u{ord(found.group()):04x}", line)


def wants_color(setting: str, stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to colour a stream: the setting (auto, always or never) first, then NO_COLOR, TERM and what the stream is."""
    if setting != "auto":
        return setting == "always"
    if environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines whose cells begin below each other, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def shortened(text: str, width: int = 60) -> str:
    """The beginning of a text in one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


class Screen:
    """Writes answers to `out` and all else to `err`; `out` may be a pipe, and is flushed each time.

    Answers are rendered as Markdown where `rendered`, else they pass as they are. A closed pipe
    raises BrokenPipeError, anything else that a stream refuses StorageError.
    """

    def __init__(
        self, out: TextIO, err: TextIO, *, color: bool = False, rendered: bool = False
    ) -> None:
        self._out = out
        self._err = err
        self._color = color
        self._rendered = rendered
        self._markdown: MarkdownStream | None = None
        self._muted = False
        self._line_open = False
        self._asides: list[str] = []
        self._murmured = ""
        self._wrapping: Wrapping | None = None

    @property
    def watched(self) -> bool:
        """Whether a person sees what goes to `err`."""
        return self._err.isatty()

    def mute(self) -> None:
        """Write no more: the terminal is gone."""
        self._muted = True

    def murmur(self, label: str, text: str) -> None:
        """Stream a piece of what may be overlooked, dim, after its label; `hush` ends it."""
        if self._wrapping is None or label != self._murmured:
            self.hush()
            self.end_answer()
            self._murmured = label
            self._wrapping = self._dimly()
            text = f"{label}: {text.lstrip()}"
        first, *more = shown(text).split("\n")
        self._wrapping.put(Span(first))
        for line in more:
            self._wrapping.end()
            self._wrapping.begin()
            self._write(self._err, "\n")
            self._wrapping.put(Span(line))

    def hush(self) -> None:
        """End what was murmured, if anything was."""
        if self._wrapping is not None:
            self._wrapping.end()
            self._murmured, self._wrapping = "", None
            self._write(self._err, "\n")

    def _dimly(self) -> "Wrapping":
        """Words into dim lines on `err`, broken where its window ends."""
        from anima.terminal.wrapping import Wrapping

        def write(span: Span) -> None:
            dim = self._color and not span.text.isspace()
            self._write(self._err, click.style(span.text, dim=True) if dim else span.text)

        return Wrapping(write, self._columns)

    def answer(self, text: str) -> None:
        """Stream a piece of the model's text."""
        self.hush()
        if self._markdown is None:
            from anima.terminal.markdown import ASCII, UNICODE, MarkdownStream

            unicode = (self._out.encoding or "").lower().startswith("utf")
            self._markdown = MarkdownStream(
                self._write_answer,
                width=self._columns,
                color=self._rendered,
                glyphs=UNICODE if unicode else ASCII,
                windowed=self._out.isatty(),
            )
        if self._asides and text[:1].isspace() and not self._markdown.in_block:
            self.end_answer()
            text = text.lstrip()
        self._markdown.feed(text)

    def end_answer(self) -> None:
        """End what a streamed answer left open, at the latest its line."""
        if self._markdown:
            self._markdown.finish()
        if self._line_open:
            self._line_open = False
            self._write(self._out, "\n")
        asides, self._asides = self._asides, []
        for text in asides:
            self.note(text)

    def aside(self, text: str) -> None:
        """A note while an answer streams: between two of its words, not within code or a table."""
        if self._line_open or (self._markdown and self._markdown.in_block):
            self._asides.append(text)
        else:
            self.note(text)

    def data(self, line: str) -> None:
        """One line of a machine-readable answer."""
        self._write(self._out, json_shown(line) + "\n")

    def say(self, text: str) -> None:
        """What a person asked to see."""
        self._note(shown(text))

    def note(self, text: str) -> None:
        """What may be overlooked: figures, progress, hints."""
        text = self._fitted(text)
        self._note(click.style(text, dim=True) if self._color else text)

    def progress(self, text: str) -> None:
        """What only someone who watches wants to know."""
        if self.watched:
            self.note(text)

    def error(self, text: str) -> None:
        """What went wrong and what to do about it."""
        text = self._fitted(text)
        self._note(click.style(text, fg="red") if self._color else text)

    def _fitted(self, text: str) -> str:
        from anima.terminal.layout import fitted

        return fitted(shown(text), self._err)

    def _note(self, text: str) -> None:
        self.hush()
        if self._out.isatty():  # in a pipe the answer stays in one piece
            self.end_answer()
        self._write(self._err, text + "\n")

    def _write_answer(self, text: str) -> None:
        self._line_open = not text.endswith("\n")
        self._write(self._out, text)

    def _columns(self) -> int:
        """The width of the window at this moment."""
        from anima.terminal.layout import window

        return window(self._out) or window(self._err) or UNKNOWN_WIDTH

    def _write(self, stream: TextIO, text: str) -> None:
        if self._muted:
            return
        try:
            stream.write(text)
            stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StorageError(
                f"The output could not be written: {error.strerror or error}. "
                "What was said is in the session all the same."
            ) from error


def standard_screen(color: str = "auto") -> Screen:
    """The screen of this process."""
    import sys

    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows a question mark, not a traceback.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")
    return Screen(
        sys.stdout,
        sys.stderr,
        color=wants_color(color, sys.stderr, os.environ),
        rendered=wants_color(color, sys.stdout, os.environ),
    )

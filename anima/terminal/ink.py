"""Text with a style, and how a terminal is told; knows nothing of what the text means.

Only the terminal's own colours and attributes are used, never a fixed RGB: they follow the
background that a person chose. Of the colours, green and cyan keep the best contrast over the
palettes in use, light and dark; blue is lost on most dark ones, yellow on light ones, magenta on
GNOME's, and the bright colours are greys in Solarized.
"""

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

PLAIN = ""
BOLD = "1"
DIM = "2"
ITALIC = "3"
UNDERLINE = "4"
RED = "31"
GREEN = "32"
CYAN = "36"


class Span(NamedTuple):
    """A text and its style: parameters of a terminal's SGR sequence, or nothing."""

    text: str
    style: str = PLAIN


def both(outer: str, inner: str) -> str:
    """Two styles at once; where they disagree, the inner one wins."""
    return f"{outer};{inner}" if outer and inner else outer or inner


def painted(spans: Iterable[Span]) -> str:
    """The spans as a terminal takes them: every style is ended where its text ends."""
    return "".join(
        _painted("".join(span.text for span in run), style)
        for style, run in groupby(spans, key=attrgetter("style"))
    )


def _painted(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if style and text else text

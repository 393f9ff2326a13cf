r"""What is certain in a line of Markdown: code, emphasis, links; knows no lines and no screen.

Model text is not a document that someone proofread, so the rules are CommonMark's but where they
would eat what was meant: `2*3*4`, `__init__` and `\(x\)` stay as they are.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from anima.terminal.ink import BOLD, CYAN, DIM, ITALIC, UNDERLINE, Span, both

LIMIT = 500
"""Characters within which a construct must close; what is longer is printed as it stands."""

CONTEXT = 256
"""Characters before a position on which what stands there may depend."""

CODE = CYAN
EMPHASIS = {1: ITALIC, 2: BOLD, 3: both(BOLD, ITALIC)}
DEEPEST = 8
"""Constructs within each other; what lies deeper is printed as it stands."""

BUSIEST = 24
"""Marks within a construct; with more of them it is none, and a line of marks costs no time."""

_SPECIAL = re.compile(r"[\\`*_\[!]")
_ESCAPABLE = frozenset("*_`#|~<>")  # of CommonMark's, those that no formula and no path needs
_BRACKET = re.compile(r"\\.|`+|[\[\]]", re.DOTALL)
_RUNS = {mark: re.compile(rf"\\.|`+|\{mark}+", re.DOTALL) for mark in "*_"}
_TARGET = re.compile(
    r"\(\s*(?P<url><[^<>]*>|(?!<)(?:[^\s()]|\([^\s()]*\))+)"
    r"(?P<title>\s+(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?\s*\)"
)
_DUNDER = re.compile(r"[a-z0-9_]+")


class Found(NamedTuple):
    """A construct: how it looks, and how many characters of the text it takes."""

    spans: list[Span]
    length: int


@dataclass(frozen=True, kw_only=True)
class _View:
    """What can be seen of a text from a position on; `whole` if nothing is to come."""

    before: str
    text: str
    whole: bool
    depth: int

    def literal(self, length: int) -> Found:
        return Found([Span(self.text[:length])], length)

    def inner(self, start: int, end: int, style: str) -> list[Span]:
        spans, _ = scan(self.text[start:end], whole=True, depth=self.depth + 1)
        return [Span(span.text, both(style, span.style)) for span in spans]


def scan(text: str, start: int = 0, *, whole: bool, depth: int = 0) -> tuple[list[Span], int]:
    """The spans of `text[start:]` that are certain, and the position up to which they go.

    With `whole` nothing follows the text, and all of it is certain. `text[:start]` is what stands
    before, of which CONTEXT characters are enough.
    """
    spans: list[Span] = []
    at = start
    while at < len(text):
        special = _SPECIAL.search(text, at)
        stop = special.start() if special and depth < DEEPEST else len(text)
        if stop > at:
            spans.append(Span(text[at:stop]))
            at = stop
            continue
        view = _View(
            before=text[max(0, at - CONTEXT) : at],
            text=text[at : at + LIMIT],
            whole=len(text) - at >= LIMIT or whole,
            depth=depth,
        )
        found = _construct(view)
        if found is None:
            break
        spans += found.spans
        at += found.length
    return spans, at


def _construct(view: _View) -> Found | None:
    """What begins with the view's first character; None while more of the text must be seen."""
    match view.text[0]:
        case "\\":
            return _escape(view)
        case "`":
            return _code(view)
        case "*" | "_":
            return _emphasis(view)
        case "!":
            return _image(view)
    return _link(view, 0)


def _escape(view: _View) -> Found | None:
    if len(view.text) == 1:
        return view.literal(1) if view.whole else None
    if view.text[1] in _ESCAPABLE:
        return Found([Span(view.text[1])], 2)
    return view.literal(2 if view.text[1] == "\\" else 1)


def _code(view: _View) -> Found | None:
    end = code_end(view.text, 0, whole=view.whole)
    if end is None:
        return None
    ticks = _run(view.text, 0)
    if not end:
        return view.literal(ticks)
    inside = view.text[ticks : end - ticks]
    if inside.strip() and inside[0] == inside[-1] == " ":
        inside = inside[1:-1]
    return Found([Span(inside, CODE)], end)


def code_end(text: str, start: int, *, whole: bool) -> int | None:
    """Where the code that begins at `start` ends; 0 where it does not, None where that is open."""
    ticks = _run(text, start)
    closing = re.compile(rf"(?<!`){'`' * ticks}(?!`)").search(text, start + ticks)
    if closing is None or (closing.end() == len(text) and not whole):
        return 0 if whole else None
    return closing.end()


def _emphasis(view: _View) -> Found | None:
    mark = view.text[0]
    size = _run(view.text, 0)
    if size == len(view.text) and not view.whole:
        return None
    if size > 3 or not _opens(view.before[-1:], view.text[size : size + 1], mark):
        return view.literal(size)
    if "://" in re.split(r"\s", view.before)[-1]:
        return view.literal(size)
    end = _emphasis_end(view, mark, size)
    if end is None:
        return None
    if not end:
        return view.literal(size)
    if mark == "_" and size == 2 and _DUNDER.fullmatch(view.text, 2, end - 2):
        return view.literal(end)  # __init__ is a name more often than a loud word
    return Found(view.inner(size, end - size, EMPHASIS[size]), end)


def _emphasis_end(view: _View, mark: str, size: int) -> int | None:
    """Where the emphasis at the beginning ends; 0 where it does not, None where that is open."""
    text = view.text
    open_sizes = [size]
    at = size
    for _ in range(BUSIEST):
        step = _RUNS[mark].search(text, at)
        if step is None:
            return 0 if view.whole else None
        at = step.end()
        if at == len(text) and not view.whole:
            return None
        if text[step.start()] == "`":
            end = code_end(view.text, step.start(), whole=view.whole)
            if end is None:
                return None
            at = end or at
        elif text[step.start()] == mark:
            left = at - step.start()
            before, after = text[step.start() - 1], text[at : at + 1]
            if _closes(before, after, mark, left):
                left = _close(open_sizes, left)
                if not open_sizes:
                    return at - left
            if left and _opens(before, after, mark):
                open_sizes.append(left)
    return 0


def _close(open_sizes: list[int], size: int) -> int:
    """Close what a run of `size` marks can close, the innermost first; returns what is left."""
    for index in reversed(range(len(open_sizes))):
        if index < len(open_sizes) and open_sizes[index] <= size:
            size -= open_sizes[index]
            del open_sizes[index:]
    return size


def _opens(before: str, after: str, mark: str) -> bool:
    """Whether marks between these two characters (or none) may begin an emphasis."""
    if not after or after.isspace():
        return False
    return not (before.isalnum() and (mark == "_" or before.isascii()))


def _closes(before: str, after: str, mark: str, size: int) -> bool:
    """Whether marks between these two characters (or none) may end an emphasis."""
    if before.isspace() or (mark == "_" and after.isalnum()):
        return False
    if before.isalnum() or not after.isalnum():
        return True
    return size > 1 and before not in "([{<=/"  # "**Note:**text", but not "f(**values"


def _image(view: _View) -> Found | None:
    if len(view.text) == 1 and not view.whole:
        return None
    if view.text[1:2] != "[":
        return view.literal(1)
    return _link(view, 1)


def _link(view: _View, start: int) -> Found | None:
    """A link whose bracket stands at `start`; its address is shown, for nobody can see a click."""
    close = _bracket_end(view, start)
    if close is None or (close == len(view.text) and not view.whole):
        return None
    if not close or view.text[close : close + 1] != "(":
        return view.literal(start + 1)
    target = _TARGET.match(view.text, close)
    if target is None:
        return view.literal(start + 1) if view.whole else None
    label = view.text[start + 1 : close - 1]
    address = target["url"].removeprefix("<").removesuffix(">")
    if label == address and "://" in address:
        return Found([Span(address, UNDERLINE)], target.end())
    spans = [
        *view.inner(start + 1, close - 1, UNDERLINE),
        Span(f" ({address}{target['title'] or ''})", DIM),
    ]
    return Found(spans, target.end())


def _bracket_end(view: _View, start: int) -> int | None:
    """The position after the bracket that closes; 0 where none does, None where that is open."""
    depth = 0
    at = start
    for _ in range(BUSIEST):
        step = _BRACKET.search(view.text, at)
        if step is None:
            return 0 if view.whole else None
        at = step.end()
        if step.group()[0] == "`":
            end = code_end(view.text, step.start(), whole=view.whole)
            if end is None:
                return None
            at = end or at
        elif step.group() == "[":
            depth += 1
        elif step.group() == "]":
            depth -= 1
            if not depth:
                return at
    return 0


def _run(text: str, start: int) -> int:
    """How many times the character at `start` is repeated."""
    end = start
    while end < len(text) and text[end] == text[start]:
        end += 1
    return end - start

"""Code in colour, line by line as it comes; knows languages by name and nothing of Markdown."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from anima.terminal.ink import BOLD, CYAN, DIM, GREEN, ITALIC, PLAIN, RED, Span, both

LONGEST_LINE = 2000
"""Characters; a longer line is left plain, as some patterns take their time over one."""

LOOK_BACK = 2000
"""Characters of earlier lines that a lexer sees which cannot be left and taken up again."""

LONGEST_TOKEN = 20_000
"""Characters of a comment or string that goes over many lines; then it is taken for closed."""

_CLOSERS = "*/-->`\n"
"""What ends an open comment or string: many lexers see one only together with its end."""

_STYLES = {
    "Comment": both(DIM, ITALIC),
    "Comment.Preproc": CYAN,
    "Keyword": BOLD,
    "Keyword.Constant": CYAN,
    "Keyword.Type": PLAIN,
    "Literal.Number": CYAN,
    "Literal.String": GREEN,
    "Name.Constant": CYAN,
    "Name.Decorator": CYAN,
    "Name.Class": BOLD,
    "Name.Function": BOLD,
    "Name.Tag": BOLD,
    "Name.Attribute": CYAN,
    "Operator.Word": BOLD,
    "Generic.Deleted": RED,
    "Generic.Inserted": GREEN,
    "Generic.Heading": BOLD,
    "Generic.Subheading": BOLD,
    "Generic.Strong": BOLD,
    "Generic.Prompt": DIM,
}


class Highlighter:
    """Colours the lines of one piece of code, in their order; without a language it leaves them."""

    def __init__(self, language: str) -> None:
        self._lexer = _lexer(language)
        self._resumes = self._lexer is not None and _resumes(self._lexer)
        self._seen = ""
        self._stack: tuple[str, ...] = ("root",)

    def line(self, text: str) -> list[Span]:
        """The next line, without its line feed."""
        if self._lexer is None or len(text) > LONGEST_LINE:
            return [Span(text)]
        start = len(self._seen)
        code = f"{self._seen}{text}\n"
        tokens = list(self._lexed(code) if self._resumes else self._lexed_anew(code))
        spans = [
            Span(code[max(at, start) : min(at + len(value), start + len(text))], _style(kind))
            for at, kind, value in tokens
            if at + len(value) > start and at < start + len(text)
        ]
        # What a lexer leaves out or moves is still part of the text.
        return spans if "".join(span.text for span in spans) == text else [Span(text)]

    def _lexed_anew(self, code: str) -> Iterator[tuple[int, Any, str]]:
        self._seen = code if len(code) <= LOOK_BACK else code[code.find("\n", -LOOK_BACK) + 1 :]
        return iter(self._lexer.get_tokens_unprocessed(code + _CLOSERS))

    def _lexed(self, code: str) -> Iterator[tuple[int, Any, str]]:
        """The tokens that begin in `code`; the lexer's state before the last one is kept.

        The last one touches the end and might have gone on, so the next call reads it again.
        """
        rules = self._lexer._tokens
        text = code + _CLOSERS
        stack = list(self._stack)
        at = 0
        while at < len(code):
            before = at, tuple(stack)
            found, action, new_state = _first(rules[stack[-1]], text, at)
            if found is None:
                yield at, None, text[at]
                if text[at] == "\n":
                    stack = ["root"]
                at += 1
                continue
            if callable(action):
                yield from action(self._lexer, found)
            elif action is not None:
                yield at, action, found.group()
            at = found.end()
            _follow(stack, new_state)
        self._seen, self._stack = code[before[0] :], before[1]
        if len(self._seen) > LONGEST_TOKEN:
            self._seen = ""


def _first(rules: Any, text: str, at: int) -> tuple[re.Match[str] | None, Any, Any]:
    """The first of a state's rules that matches here, with what it does and where it leads."""
    for matches, action, new_state in rules:
        if found := matches(text, at):
            return found, action, new_state
    return None, None, None


def _follow(stack: list[str], new_state: Any) -> None:
    """Bring a lexer's stack of states to where a rule leads."""
    steps = new_state if isinstance(new_state, tuple) else (new_state,)
    for step in steps:
        if isinstance(step, int):
            del stack[max(1, len(stack) + step) :]
        elif step == "#pop":
            del stack[max(1, len(stack) - 1) :]
        elif step == "#push":
            stack.append(stack[-1])
        elif step is not None:
            stack.append(step)


@cache
def _style(kind: Any) -> str:
    """The style of a token's type, or of the nearest type that contains it."""
    while kind:
        style = _STYLES.get(str(kind).removeprefix("Token."))
        if style is not None:
            return style
        kind = kind.parent
    return PLAIN


def _lexer(language: str) -> Any:
    """The lexer of that name or alias; None where there is none."""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    if not language:
        return None
    try:
        return get_lexer_by_name(language)
    except ClassNotFound:
        return None


def _resumes(lexer: Any) -> bool:
    """Whether the lexer is nothing but its rules, so that it can go on where it stopped."""
    from pygments.lexer import RegexLexer

    return (
        isinstance(lexer, RegexLexer)
        and type(lexer).get_tokens_unprocessed is RegexLexer.get_tokens_unprocessed
        and hasattr(lexer, "_tokens")
    )

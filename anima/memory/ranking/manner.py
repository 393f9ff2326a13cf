"""How a text speaks: whether it asks, of whom, and of which time; English, and knows no memory.

A question about oneself is answered by what its speaker said of themselves; a question asked then
answers none; and "where did I live before?" wants what no longer holds. Closed lists of function
words decide, never what anything is about. Measured by `anima eval recall`, see `hybrid`.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

_READ: Final = 4000
"""Characters of a text that are looked at."""

Time = Literal["now", "event", "before"]
"""now: what holds. event: in the past tense, of what happened. before: what held and may no longer."""

_FLAGS: Final = re.IGNORECASE
_SPEAKER = re.compile(r"\b(?:i|me|my|mine|myself|we|us|our|ours)\b", _FLAGS)
_LISTENER = re.compile(r"\b(?:you|your|yours|yourself)\b", _FLAGS)
_SENTENCE = re.compile(r"[^.!?…]*[^.!?…\s][^.!?…]*[.!?…]*")
_LONG_AGO = re.compile(
    r"\b(?:was|were|used to|ago|formerly|previously|back then|once|as a child|when i was)\b", _FLAGS
)
_STILL = re.compile(
    r"\b(?:now|is|am|are|new|today|these days|currently|nowadays)\b|['\u2019](?:m|s|re)\b", _FLAGS
)
_BEFORE = re.compile(
    r"\b(?:previous|previously|former|formerly|originally|initially|at first|used to|back then"
    r"|in the past|(?:my|our|the|his|her|their) (?:old|ex))\b"
    r"|\b(?:before|earlier)(?: that| this| now| then)?\W*$",
    _FLAGS,
)
_HAPPENED = re.compile(r"\b(?:did|didn['\u2019]t|was|were|had)\b", _FLAGS)


@dataclass(frozen=True, kw_only=True)
class Manner:
    """Of a line: whether it does nothing but ask, says "I" or "my", or tells of long ago."""

    asks: bool
    own: bool
    past: bool


def manner(text: str, *, by_user: bool) -> Manner:
    """How a line speaks. What others than the user say is of the user where it says "you"."""
    text = text[:_READ]
    sentences = [each.rstrip() for each in _SENTENCE.findall(text)]
    return Manner(
        asks=bool(sentences) and all(each.endswith("?") for each in sentences),
        own=bool((_SPEAKER if by_user else _LISTENER).search(text)),
        past=bool(_LONG_AGO.search(text)) and not _STILL.search(text),
    )


def asked_of_oneself(question: str) -> bool:
    """Whether a question is about the one who asks."""
    return bool(_SPEAKER.search(question[:_READ]))


def asked_of_the_listener(question: str) -> bool:
    """Whether a text speaks of the one it is said to."""
    return bool(_LISTENER.search(question[:_READ]))


def time_asked(question: str) -> Time:
    """The time that a question is about, as far as its words say."""
    question = question[:_READ]
    if _BEFORE.search(question):
        return "before"
    return "event" if _HAPPENED.search(question) else "now"

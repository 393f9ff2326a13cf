"""Sentences that differ in nothing but a number, a day or a name; knows no slot of its own.

“I take 50 mg of sertraline” and “I take 75 mg of sertraline now” fit no pattern and yet contradict
each other. What stays when the numbers, days and names are taken out is the frame, and serves as an
attribute. Claims of that sort stand beside each other unless one says that it corrects.
"""

import re
from typing import Final

from anima.memory.claims import values
from anima.memory.claims.claims import USER, Claim
from anima.memory.claims.clauses import Clause
from anima.memory.claims.vocabulary import DAYS, MONTHS, NO_NAME, NUMBERS

FRAME: Final = "~ "
"""How an attribute begins that is a frame."""

_MOST = 12
_FEWEST = 3
_BEGINS = re.compile(r"(?:i|i'm|i've|we|we're|we've|my|our|the)\s", re.IGNORECASE)
_CUE = re.compile(
    r"[\s,]+(?:now|anymore|instead|these days|currently|again|too|as well)$", re.IGNORECASE
)
_PAST = re.compile(
    r"(?:i|we)\s+(?:\w+ed|took|went|was|were|ate|saw|had|did|got|made|met|lost|won|found|bought|read|ran|knew|came"
    r"|thought|said|told|felt|drove|flew|wrote|spent|slept)\b",
    re.IGNORECASE,
)
_CALENDAR: Final = DAYS | MONTHS | {f"{day}s" for day in DAYS}


def framed(clause: Clause) -> Claim | None:
    """The claim of a clause by its frame; None where nothing in it can be taken out."""
    text = _CUE.sub("", clause.text)
    words = text.split()
    if not _FEWEST <= len(words) <= _MOST or _BEGINS.match(text) is None:
        return None
    if _PAST.match(text):
        # What happened cannot have happened otherwise.
        return None
    frame, taken = [], []
    for at, word in enumerate(words):
        kind = _kind(word.strip(".,'\"()"), first=at == 0)
        frame.append(kind or word.casefold())
        if kind:
            taken.append(word.strip(".,'\"()"))
    if not taken or len(taken) > _FEWEST:
        return None
    return Claim(
        subject=USER,
        attribute=FRAME + " ".join(frame),
        value=values.value_of(" ".join(taken)),
        many=True,
        holds=not clause.ended,
        corrects=clause.corrects,
        span=(clause.start, clause.end),
    )


def _kind(word: str, *, first: bool) -> str:
    """What a word is taken out as, "" for one that stays."""
    plain = word.casefold()
    if any(character.isdigit() for character in plain) or plain in NUMBERS:
        return "#"
    if plain in _CALENDAR and plain != "may":
        return "@"
    named = word[:1].isupper() and not first and plain not in NO_NAME
    return "*" if named and plain.removesuffix("'m") != "i" else ""

"""Claims that ordinary English sentences make: who, what of them, which value; knows no memory.

Rules, not a model: a sentence that fits none makes no claim, so that what closes what is decided
only where the words leave no doubt. Two claims can contradict each other only in one slot, which
is a subject and an attribute in their one form (`values.subject_of`, `values.attribute_of`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from anima.memory.claims import people, statements
from anima.memory.claims.claims import Claim, Slot, Told
from anima.memory.claims.clauses import (
    LONGEST,
    Clause,
    clauses,
    plain,
    sentences,
    supposes,
    without_reminder,
)
from anima.memory.claims.facets import value_for
from anima.memory.claims.frames import framed
from anima.memory.claims.vocabulary import CONTENTLESS, FILLER


def extract(text: str) -> Sequence[Claim]:
    """The claims that a person's text makes, in its order, each once."""
    if not _MAY_CLAIM.search(plain(text[:LONGEST])):
        return ()
    found: dict[tuple[str, str, str, bool], Claim] = {}
    for claim in _claims(text):
        found.setdefault((*claim.slot, claim.value or claim.old, claim.holds), claim)
    return tuple(found.values())


def rest(text: str, claims: Sequence[Claim]) -> int:
    """How many words of a text say something that its claims do not.

    A sentence that asks or supposes says nothing to be kept, nor does a short remark such as “Long
    day today.” beside the sentence that makes the claims.
    """
    kept = list(without_reminder(plain(text)))
    for claim in claims:
        start, end = max(0, claim.span[0]), min(len(kept), claim.span[1])
        kept[start:end] = " " * (end - start)
    beyond = len(text[LONGEST:].split())
    said = "".join(kept)
    return beyond + sum(
        _telling(said[start : start + len(sentence)], sentence)
        for start, sentence, asked in sentences(plain(text[:LONGEST]))
        if not asked
    )


_REMARK = 2
_OWN = re.compile(r"\b(?:i|we|my|our|i'm|i've|we're|me|us)\b", re.IGNORECASE)
_MARKED = re.compile(r"\d|(?<=\s)[A-Z][a-z]")


def _telling(left: str, sentence: str) -> int:
    """The telling words of what claims leave of a sentence, 0 for a mere remark."""
    words = re.findall(r"[^\W_][\w'-]*", left.casefold())
    count = sum(1 for word in words if word not in CONTENTLESS and word not in FILLER)
    if left != sentence:
        return count
    if supposes(sentence):
        return 0
    least = _REMARK - 1 if _OWN.search(sentence) else _REMARK
    return 0 if count <= least and not _MARKED.search(sentence) else count


# What no pattern can begin with is passed over at once: most of what is said in a chat.
_MAY_CLAIM = re.compile(
    r"\b(?:i|i'm|i've|im|ive|we|we're|we've|my|our|the|it|it's|its|call|name|name's|is|are|lives|works|me|new"
    r"|moved|switched|changed|not|that's|no longer|instead|went|goes|rose|reach|use|hired|mom|mum|dad|grandma)\b",
    re.IGNORECASE,
)


_NOT = re.compile(r"(?:and )?not (?:the |an? )?(?P<o>.+?)(?: any ?more)?", re.IGNORECASE)
_GREETED = re.compile(
    r"^\W*(?:hi|hello|hey|hiya|good (?:morning|evening|afternoon))\b[^.!?]{0,12}[.!?]?\s*$",
    re.IGNORECASE,
)
_SHE = re.compile(r"(?:(?:he|she)(?='s|\s)|(?P<own>his|her|its)(?=\s))", re.IGNORECASE)


def _claims(text: str) -> Iterator[Claim]:
    topic: Slot | None = None
    person = ""
    spoken = -1
    found: list[Claim] = []
    for clause in clauses(text):
        contrast = _NOT.fullmatch(clause.text)
        if contrast is not None and found:
            old = value_for(found[-1].attribute, contrast["o"])
            found[-1] = replace(found[-1], old=old, span=(found[-1].span[0], clause.end))
            continue
        told = _spanning(statements.read(_named(clause, person), topic), spoken)
        if not told.claims and not told.topic and _GREETED.search(text, 0, clause.start):
            told = people.introduced(clause)
        if not told.claims and not told.topic:
            told = replace(told, claims=[each for each in [framed(clause)] if each is not None])
        spoken = clause.start if told.topic and not told.claims else -1
        person = told.person or person
        topic = told.topic or topic
        found += told.claims
    # What has neither an attribute nor what it replaces says nothing of anything.
    yield from (each for each in found if each.attribute or each.old)


def _spanning(told: Told, start: int) -> Told:
    """What is told of the topic of the clause before, which then said nothing else."""
    if start < 0:
        return told
    return replace(told, claims=[replace(each, span=(start, each.span[1])) for each in told.claims])


def _named(clause: Clause, person: str) -> Clause:
    """The clause with "he" or "she" as the one that was just spoken of."""
    pronoun = _SHE.match(clause.text)
    if pronoun is None or not person:
        return clause
    words = person + ("'s" if pronoun["own"] else "") + clause.text[pronoun.end() :]
    return replace(clause, text=words)

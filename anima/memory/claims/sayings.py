"""What clauses say of somebody in one of many ways, read from `sayings.toml`; knows no text.

A saying is a pattern with a kind of value: “V hired me” says an employer where V is a firm. Only
those are tried that have a word in common with the clause; each is compiled when it is first tried.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any, Final

from anima.memory.claims import kinds, values
from anima.memory.claims.claims import PLENTY, USER, Claim, Slot
from anima.memory.claims.vocabulary import (
    EVENTS,
    HOLLOW,
    NO_NAME,
    NO_THING,
    RELATIONS,
    alternatives,
)

_ADVERBS: Final = (
    r"(?:\s+(?:now|currently|just|also|always|usually|normally|mostly|really|actually|still|finally"
    r"|recently|officially|already|only|since|then|both|all|typically|generally|basically))*"
)
_NAME: Final = r"(?-i:[A-Z][a-zà-ÿ]+)"
_PERSON: Final = alternatives(RELATIONS)
_BARE: Final = r"mom|mum|dad|grandma|gran|grandpa|granny|sis|bro"
_SAYS: Final[Mapping[str, str]] = {
    "S": rf"(?P<s>i|we|he|she|they|(?:my|our)\s+(?:{_PERSON})(?:\s+{_NAME})?|{_BARE}|{_NAME})",
    "S's": rf"(?P<p>my|our|(?:my|our)\s+(?:{_PERSON})'s?|{_NAME}'s)(?:\s+(?:new|current|own|main))*",
    "D": r"(?:my|our|the)(?:\s+(?:new|current|own|next))*",
    "M": r"(?:me|us)",
    "REL": rf"(?P<r>{_PERSON})",
    "FROM": r"(?:from\s+(?:(?:my|the|our|an?)\s+)?(?P<o>.+?))",
    "R": rf"(?P<s>(?:my|our)\s+(?:{_PERSON}))",
    "N": r"(?P<n>[a-z][\w-]*(?:\s+[a-z][\w-]*){0,2}?)",
    "P": r"(?P<n>(?:dentist|doctor|gp|therapist|vet|hairdresser|barber|optician|orthodontist|physio"
         r"|physiotherapist|dermatologist|cardiologist|psychiatrist|surgeon|lawyer|accountant))(?:'s)?",
    "O": r"(?:(?:my|the|our|an?)\s+)?(?P<o>.+?)",
}  # fmt: skip
_AUXILIARY: Final = r"(?:'ve|'s|'m|'re|(?<=\bi)m|(?<=\bi)ve|\s+(?:have|has|am|is|are))?"
_FORMS_OF_BE: Final = r"(?:'m|'s|'re|(?<=\bi)m|'ve\s+(?:been|become)|\s+(?:am|is|are|(?:has|have)\s+(?:been|become)|became))"
_CHANGED: Final = (
    r"(?:changed|moved|switched|set|reset|updated|rescheduled|pushed|extended|raised|increased|lowered"
    r"|reduced|bumped|shifted|postponed)"
)
_COPULA: Final = (
    rf"(?:'s|'re|\s+(?:(?:is|are|was|were|has\s+been|became|has\s+become|comes)"
    rf"(?:\s+(?:just\s+|now\s+)?{_CHANGED}\s+(?:from\s+.+?\s+)?to)?"
    rf"|(?:has\s+)?(?:just\s+)?(?:{_CHANGED}|(?:went|gone)\s+(?:up|down))\s+(?:from\s+.+?\s+)?to))"
)
_LOOSE: Final = frozenset(
    [
        "a",
        "an",
        "the",
        "my",
        "our",
        "i",
        "we",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "with",
        "by",
        "from",
        "as",
        "is",
        "be",
        "was",
        "it's",
        "its",
        "now",
        "there",
        "and",
        "me",
        "up",
        "out",
    ]
)


@dataclass(frozen=True, kw_only=True)
class _Saying:
    """One way of saying one attribute; see `sayings.toml` for the fields."""

    text: str
    attribute: str
    kind: str = ""
    of: str = ""
    many: bool = False
    after: bool = False
    others: bool = False
    noun: str = ""
    about: bool = False


@dataclass(frozen=True, kw_only=True)
class Heard:
    """The claims of a clause, which of them say all of it, and of what it only spoke."""

    claims: Sequence[Claim] = ()
    topic: Slot | None = None
    person: str = ""


@dataclass(frozen=True, kw_only=True)
class _Book:
    """All sayings, and by each word those that cannot be said without it or one of its like."""

    sayings: Sequence[_Saying]
    by_word: Mapping[str, Sequence[int]] = field(default_factory=dict)


def heard(text: str, topic: Slot | None) -> Heard:
    """What a clause says, or each of its parts at a comma; `topic` was spoken of before it."""
    text = _CUE.sub("", text)
    whole = _heard(text, topic)
    if whole.claims or ", " not in text:
        return whole
    claims: dict[Slot, Claim] = {}
    for part in text.split(", "):
        said = _heard(_LINK.sub("", part), topic)
        topic = said.topic or topic
        claims |= {each.slot: replace(each, all_said=False) for each in said.claims}
    return Heard(claims=list(claims.values()), topic=topic)


_CUE: Final = re.compile(
    r"(?:[\s,]+(?:now|instead|these days|nowadays|anymore|too|as well|currently|at the moment"
    r"|from now on|again|btw|lol|right now))+$",
    re.IGNORECASE,
)
_LINK: Final = re.compile(r"^(?:(?:now|and|so|then|but|i'm now)\s+)+", re.IGNORECASE)


def _heard(text: str, topic: Slot | None) -> Heard:
    book = _book()
    tokens = set(re.findall(r"[a-zà-ÿ-]+", text.casefold()))
    found: dict[Slot, Claim] = {}
    matches: dict[str, re.Match[str] | None] = {}
    spoken: Slot | None = None
    person = ""
    for at in sorted({at for word in tokens for at in book.by_word.get(word, ())}):
        saying = book.sayings[at]
        if saying.after and not saying.about and (topic is None or topic[1] != saying.attribute):
            continue
        if saying.text not in matches:
            matches[saying.text] = _pattern(saying.text).fullmatch(text)
        match = matches[saying.text]
        if match is None:
            continue
        if saying.about:
            spoken = spoken or (USER, saying.attribute)
            continue
        claim = _claim(saying, match)
        if claim is not None and claim.slot not in found:
            found[claim.slot] = claim
            person = person or _person(match)
    claims = list(found.values())
    return Heard(claims=claims, topic=claims[0].slot if claims else spoken, person=person)


def _claim(saying: _Saying, match: re.Match[str]) -> Claim | None:
    subject = _subject(match)
    if subject is None or (saying.others and subject == USER):
        return None
    attribute = _attribute(saying, match)
    said = match["v"]
    value = kinds.value(saying.kind, said)
    if not attribute or not value:
        return None
    if saying.kind == "place":
        attribute = values.level(kinds.bare(said))
    many = saying.many or attribute in PLENTY
    if saying.of:
        if subject != USER:
            return None
        relation = match["r"] if saying.of == "REL" else saying.of
        subject = values.subject_of(f"my {relation}")
        many = subject not in _ONE_EACH
    old = match.groupdict().get("o") or ""
    return Claim(
        subject=subject,
        attribute=attribute,
        value=value,
        many=many,
        old=values.value_of(values.trimmed(old)) if old else "",
        all_said=kinds.says_all(said),
    )


_OTHERWISE_TIMED: Final = frozenset(["birthday", "anniversary", "alarm", "wake-up", "deadline"])
_ONE_EACH: Final = frozenset(
    f"user's {each}" for each in ("partner", "boss", "landlord", "therapist", "doctor")
)


def _attribute(saying: _Saying, match: re.Match[str]) -> str:
    name = saying.attribute
    noun = match.groupdict().get("n")
    if noun is None:
        return name
    parts = noun.casefold().split()
    if parts[-1] in HOLLOW or set(parts) & (NO_THING | {"my", "our", "the", "your", "new"}):
        return ""
    if saying.noun == "event" and (not set(parts) & EVENTS or parts[-1] in _OTHERWISE_TIMED):
        return ""
    if name.startswith("favorite "):
        parts[-1] = parts[-1] if parts[-1].endswith("ss") else parts[-1].removesuffix("s")
    # “P” and “N” stand where the noun is; the name of what has a day keeps that end.
    tail = name.rpartition(" ")[2] if name.endswith((" day", " code")) else ""
    head = name.removesuffix(f" {tail}") if tail else name
    said = head.replace("P ", f"{parts[-1]} ").replace("N", " ".join(parts))
    if tail == "code":
        return values.attribute_of(f"{said} code")
    whole = values.attribute_of(said)
    return f"{whole} {tail}" if tail else whole


def _subject(match: re.Match[str]) -> str | None:
    """Of whom a clause speaks; None where that is not said well enough."""
    groups = match.groupdict()
    said = groups.get("s") or groups.get("p") or ""
    plain = re.sub(r"'s?$", "", said.casefold())
    if plain in {"", "i", "we", "my", "our"}:
        return USER
    if plain in {"he", "she", "they"} or plain in NO_NAME or plain in HOLLOW:
        return None
    related = re.fullmatch(rf"(?:(?:my|our)\s+)?({_PERSON}|{_BARE})(?:\s+\S+)?", plain)
    return values.subject_of(f"my {related[1]}" if related else plain)


def _person(match: re.Match[str]) -> str:
    subject = _subject(match)
    if subject is None or subject == USER:
        return ""
    return subject.replace("user's", "my", 1) if subject.startswith("user's") else subject.title()


@cache
def _book() -> _Book:
    told = tomllib.loads(files(__package__).joinpath("sayings.toml").read_text(encoding="utf-8"))
    sayings = [saying for each in told["attribute"] for saying in _sayings(each)]
    by_word: dict[str, list[int]] = {}
    for at, saying in enumerate(sayings):
        for word in _needed(saying.text, noun=saying.noun):
            by_word.setdefault(word, []).append(at)
    return _Book(sayings=sayings, by_word=by_word)


def _sayings(told: Mapping[str, Any]) -> Iterator[_Saying]:
    shared = {
        name: told[name]
        for name in ("kind", "of", "many", "after", "others", "noun")
        if name in told
    }
    for text in told.get("about", ()):
        yield _Saying(text=text, attribute=told["name"], about=True, **shared)
    for text in told["says"]:
        yield _Saying(text=text, attribute=told["name"], **shared)


def _needed(text: str, *, noun: str = "") -> Sequence[str]:
    """Words one of which is in all that a saying fits: those of its rarest place."""
    places = []
    for token in text.split():
        if token in {*_SAYS, "V", "be", "is"} or token.endswith("?") or "S's|" in token:
            continue
        places.append([each for word in token.split("|") for each in _inflected(word)])
    telling = [words for words in places if not set(words) & _LOOSE]
    chosen = min(telling or places, key=len, default=[])
    if not telling and "P" in text.split():
        chosen = re.findall(r"[a-z]{2,}", _SAYS["P"])
    elif not telling and noun == "event":
        chosen = sorted(EVENTS)
    elif not chosen:
        # Nothing but places to fill: it may be said with any form of “be”.
        chosen = ["i", "i'm", "we", "my", "our", "is", "are"]
    # The words of a clause are told apart at apostrophes.
    return [part for word in chosen for part in re.findall(r"[a-zà-ÿ-]+", word)[:1]]


def _inflected(word: str) -> Sequence[str]:
    if not word.endswith("~"):
        return [word]
    base = word[:-1]
    stem = base.removesuffix("e") if not base.endswith("ee") else base
    third = f"{base}es" if base.endswith(("ss", "sh", "ch")) else f"{base}s"
    third = f"{base[:-1]}ies" if base.endswith(("ly", "ry")) and base != "buy" else third
    return [base, third, f"{stem}ing"]


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """A saying as a pattern for all of a clause."""
    pieces: list[str] = []
    before = ""
    tokens = text.split()
    begun = False
    for at, token in enumerate(tokens):
        piece = _piece(token, before, begun=begun)
        pieces.append(piece.replace("<v>.+", "<v>.+?") if at < len(tokens) - 1 else piece)
        begun = begun or not token.endswith("?")
        before = token
    return re.compile("".join(pieces), re.IGNORECASE)


def _piece(token: str, before: str, *, begun: bool) -> str:
    gap = r"\s+" if begun else ""
    if token == "be":
        return _FORMS_OF_BE + _ADVERBS
    if token == "is":
        return _COPULA + _ADVERBS
    if token == "V":
        return (rf"{_ADVERBS},?\s+" if begun else "") + "(?P<v>.+)"
    if token == "FROM":
        return f"(?:{gap}{_SAYS[token]})?"
    if token in _SAYS:
        return gap + _SAYS[token]
    forms = (form for word in token.rstrip("?").split("|") for form in _inflected(word))
    words = "|".join(_SAYS.get(form, re.escape(form)) for form in forms)
    lead = (_AUXILIARY if before == "S" else "") + (_ADVERBS if begun else "")
    if not begun:
        return rf"(?:(?:{words})\s+)?" if token.endswith("?") else f"(?:{words})"
    return f"(?:{lead}{gap}(?:{words}))" + ("?" if token.endswith("?") else "")

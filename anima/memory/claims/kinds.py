"""Kinds of values, each with the one form of what a phrase says; knows no sentence and no slot."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from anima.memory.claims import patterns, values
from anima.memory.claims.vocabulary import (
    CAR_MAKES,
    COFFEES,
    CONTENTLESS,
    DIETS,
    JUDGEMENTS,
    LANGUAGES,
    NO_NAME,
    PHONE_MAKES,
    STATUSES,
)

_FIRST: Final = re.compile(
    r"^(?:(?:now|a|an|the|my|our|by|on|at|called|named|to|around|about|currently|just|being|new|actually)\s+)+",
    re.IGNORECASE,
)
_UNTIL: Final = re.compile(
    r"\s+(?:a|per|each|every)\s+(?:month|year|week)$|\s+monthly$", re.IGNORECASE
)
_HEALTH: Final = re.compile(
    r"""(?:(?:back|out|now|all|still|doing|feeling|much|a\s+lot|very|quite|really|being|at|home)\s+)*
    (?:(?:(?:in|at|out\s+of|from|of|to)\s+)?(?:the\s+|a\s+)?
        (?:hospital|rehab|clinic|intensive\s+care|icu|coma|care\s+home|nursing\s+home|hospice|surgery)
      |home(?:\s+again)?|on\s+(?:her|his|their)\s+feet|on\s+the\s+mend|in\s+(?:bed|remission|recovery)
      |ill|sick|unwell|well|better|healthy|recovering|recovered|injured|bedridden|healing|pregnant
      |fine|okay|discharged|hospitali[sz]ed)(?:\s+again)?""",
    re.IGNORECASE | re.VERBOSE,
)


def bare(phrase: str) -> str:
    """A phrase up to where its value ends, without article and adverb before it."""
    said = _UNTIL.sub("", values.trimmed(phrase))
    return _FIRST.sub("", said)


def value(kind: str, phrase: str) -> str:
    """The one form of a phrase as a value of a kind; "" where it is none."""
    return _KINDS[kind or "free"](phrase)


def says_all(phrase: str) -> bool:
    """Whether what is cut from a phrase says nothing."""
    left = phrase[len(values.trimmed(phrase)) :]
    return all(
        word in CONTENTLESS or word in _TIMES for word in re.findall(r"[\w']+", left.casefold())
    )


_TIMES: Final = frozenset(
    [
        "month",
        "months",
        "moment",
        "week",
        "weeks",
        "day",
        "days",
        "every",
        "monthly",
        "year",
        "nowadays",
        "currently",
    ]
)


def _plain(fits: Callable[[str], bool]) -> Callable[[str], str]:
    def kept(phrase: str) -> str:
        said = bare(phrase)
        return values.value_of(said) if said and fits(said) else ""

    return kept


def _day(phrase: str) -> str:
    return dict(values.moments(phrase)).get("day", "")


def _time(phrase: str) -> str:
    return dict(values.moments(f"at {bare(phrase)}")).get("time", "")


def _date(phrase: str) -> str:
    return _day(phrase) if len(phrase.split()) <= 8 else ""


def _place(phrase: str) -> str:
    # “I live in a day and age …” names no place.
    said = re.sub(
        r"^(?:now|in|at|currently|just)\s+", "", values.trimmed(phrase), flags=re.IGNORECASE
    )
    return values.value_of(said) if said and patterns.is_place(said) else ""


def _firm(phrase: str) -> str:
    said = _SINCE.sub("", bare(phrase))
    return values.value_of(said) if said and patterns.is_employer(said) else ""


_SINCE: Final = re.compile(r"\s+(?:on|from|as|in|this|next|last|since|for)\s+.*$", re.IGNORECASE)


def _diet(phrase: str) -> str:
    said = re.sub(
        r"^(?:strictly|strict|fully|completely|only|purely)\s+", "", bare(phrase).casefold()
    )
    said = re.sub(r"\s+(?:diet|food|foods|meals)$", "", said)
    return values.value_of(said) if said in DIETS else ""


def _money(phrase: str) -> str:
    said = re.sub(r"\s+(?:in|for|of|as)$", "", bare(phrase))
    return (
        values.value_of(said) if any(c.isdigit() for c in said) and len(said.split()) <= 3 else ""
    )


def _is_free(said: str) -> bool:
    words = said.casefold().split()
    return len(words) <= 5 and words[0] not in NO_NAME | JUDGEMENTS and words[-1] not in JUDGEMENTS


def _is_title(said: str) -> bool:
    return len(said.split()) <= 7 and said[0].isupper() and said.casefold() not in LANGUAGES


def _has_make(makes: frozenset[str]) -> Callable[[str], bool]:
    def fits(said: str) -> bool:
        words = said.casefold().split()
        return len(words) <= 5 and bool(makes & set(words[:3]))

    return fits


def _is_number(said: str) -> bool:
    return len(said.split()) <= 2 and values.identifier(said.split()[0])


def _is_coffee(said: str) -> bool:
    words = said.casefold().split()
    return len(words) <= 4 and bool(COFFEES & {words[-1], " ".join(words[-2:])})


def _is_telephone(said: str) -> bool:
    digits = re.sub(r"[\s().+/-]", "", said)
    return digits.isdigit() and len(digits) >= 5


_KINDS: Final[Mapping[str, Callable[[str], str]]] = {
    "free": _plain(_is_free),
    "place": _place,
    "firm": _firm,
    "profession": _plain(patterns.is_profession),
    "name": _plain(lambda said: values.is_name(said) and said.casefold() not in LANGUAGES),
    "proper": _plain(lambda said: values.proper(said) and len(said.split()) <= 4),
    "title": _plain(_is_title),
    "telephone": _plain(_is_telephone),
    "mail": _plain(lambda said: re.fullmatch(r"\S+@\S+\.\S+", said) is not None),
    "color": _plain(values.color),
    "car": _plain(_has_make(CAR_MAKES)),
    "handset": _plain(_has_make(PHONE_MAKES)),
    "coffee": _plain(_is_coffee),
    "number": _plain(_is_number),
    "code": _plain(lambda said: len(said.split()) == 1 and values.identifier(said)),
    "status": _plain(lambda said: said.casefold() in STATUSES),
    "health": _plain(lambda said: _HEALTH.fullmatch(said) is not None),
    "diet": _diet,
    "money": _money,
    "day": _day,
    "date": _date,
    "time": _time,
}

"""What has a value: the slot that a name names and the claims that a phrase makes of it; knows no sentence."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from anima.memory.claims import patterns, values
from anima.memory.claims.claims import PLENTY, USER, Claim, Slot
from anima.memory.claims.vocabulary import (
    EVENTS,
    HOLLOW,
    JUDGEMENTS,
    LANGUAGES,
    NATIONALITIES,
    NO_NAME,
    NO_THING,
    RELATIONS,
    VALUED,
    words,
)

MOVED = re.compile(
    r"moved|changed|switched|pushed|rescheduled|postponed|shifted|bumped|brought|delayed|relocated"
    r"|transferred|reassigned|reset|set|updated|renamed|extended|went|increased|dropped|rose|fell"
)
"""What a copula says of a change."""

_NOT_A_VALUE: Final = (
    NO_NAME - {"the", "a", "an", "old", "new", "my", "black", "white", "one", "two"} | JUDGEMENTS
)
_ACTIVITY: Final = words("favorite hobby sport job major specialty activity goal")
_SECOND: Final = words("old former previous ex last next other first")
_DWELLINGS: Final = words("city place house flat")
_FIXED: Final = re.compile(
    r"(?:under|underneath|behind|beside|next to|on top of|above|below|inside|between)\b"
)


def slot_of(name: str) -> Slot | None:
    """The slot that “my dog's name” or “the wifi password” names; None for what names none."""
    of_owned = patterns.OF_OWNED.fullmatch(name)
    if of_owned is not None and of_owned["o"].casefold() not in NO_NAME:
        thing = re.sub(r"^(?:my|our|the)\s+", "", of_owned["a"], flags=re.IGNORECASE)
        return (values.subject_of(of_owned["o"]), values.attribute_of(f"{of_owned['n']} {thing}"))
    of_person = patterns.OF_PERSON.fullmatch(name)
    owned = patterns.OWNED.fullmatch(name) if of_person is None else of_person
    if owned is not None and (owned["o"].casefold() in RELATIONS or of_person is not None):
        return (values.subject_of(f"my {owned['o']}"), values.attribute_of(owned["n"]))
    bare = re.sub(r"^(?:my|our|the|this|his|her|its)\s+", "", name, flags=re.IGNORECASE)
    attribute = values.attribute_of(bare)
    parts = attribute.split()
    if not 1 <= len(parts) <= 5 or NO_THING & set(parts):
        return None
    if parts[-1] in HOLLOW or parts[0] in _SECOND:
        return None
    return None if attribute in RELATIONS or attribute == "favorite" else (USER, attribute)


def facets(slot: Slot, phrase: str, *, moved: bool, mine: bool) -> Iterator[Claim]:
    """The claims that a value makes: of what has a time and a place, one for each that is said.

    `moved` for what was said to have changed, `mine` for “my” and “our” rather than “the”.
    """
    said = values.trimmed(phrase) or phrase
    timed = event(slot)
    when = dict(values.moments(phrase if timed else said))
    if slot[1].endswith(("birthday", "anniversary")):
        if "day" in when:
            yield claim(slot, when["day"])
        return
    only = _only_moments(said)
    if when and (timed or (only and not single(slot))):
        for kind, value in when.items():
            yield claim((slot[0], f"{slot[1]} {kind}"), value)
    where = values.placed(said)
    if where and slot[1] in _DWELLINGS:
        if patterns.is_place(where):
            yield claim((slot[0], values.level(where)), values.value_of(where))
        return
    if where and (mine or timed or _FIXED.match(said)):
        yield claim((slot[0], f"{slot[1]} place"), values.value_of(where))
    if not where and not (when and (timed or (only and not single(slot)))):
        yield from _plain(slot, said, moved=moved, mine=mine)


def _plain(slot: Slot, said: str, *, moved: bool, mine: bool) -> Iterator[Claim]:
    """The claim of a phrase without time and place."""
    value = _plain_value(slot, said, moved=moved)
    if not value:
        return
    if event(slot):
        if moved:
            yield claim((slot[0], f"{slot[1]} place"), value)
    elif values.color(value) and not slot[1].endswith("color") and not single(slot):
        if mine:
            yield claim((slot[0], f"{slot[1]} color"), value)
    else:
        sure = single(slot) or moved or (mine and _surely(said))
        if sure or mine:
            yield claim(slot, value, many=not sure)


def _plain_value(slot: Slot, said: str, *, moved: bool) -> str:
    """The value that a phrase without time and place is; "" where it only says what one thinks."""
    parts = said.split()
    if not parts or not values.short(said):
        return ""
    first = parts[0].casefold().strip("'\"")
    if slot[1] == "name" or slot[1].endswith(" name"):
        fits = values.is_name(said, strong=True) or values.identifier(said)
        return values.value_of(said) if fits else ""
    if first in _NOT_A_VALUE or (len(parts) > 1 and parts[-1].casefold() in JUDGEMENTS):
        return ""
    if first.endswith("ing") and len(first) > 6 and not _ACTIVITY & set(slot[1].split()):
        return ""
    if single(slot) or moved:
        return values.value_of(said)
    few = len(parts) <= 2 and re.fullmatch(r"(?:(?:an?|the)\s+)?[\w'-]+", said) is not None
    return values.value_of(said) if few or (_surely(said) and len(parts) <= 4) else ""


def _surely(said: str) -> bool:
    """Whether a phrase is a value whatever has it: a number, a colour, a proper name."""
    parts = said.split()
    if kind_of_people(said):
        return False
    numbered = values.identifier(parts[0]) and len(parts) <= 2
    return numbered or values.color(said) or _is_proper(parts)


def _is_proper(parts: Sequence[str]) -> bool:
    return all(
        word[0].isupper() or word in {"of", "the", "and", "de", "la"} for word in parts
    ) and values.proper(" ".join(parts))


def value_for(attribute: str, phrase: str) -> str:
    """The value of a phrase as the attribute keeps it."""
    said = values.trimmed(phrase)
    kind = attribute.rpartition(" ")[2]
    if kind in {"day", "time"}:
        return dict(values.moments(said if said[:3] in {"at ", "on "} else f"at {said}")).get(
            kind, ""
        )
    return values.value_of(values.placed(said) or said)


def single(slot: Slot) -> bool:
    """Whether a slot has one value whatever that is."""
    parts = slot[1].split()
    return (
        "favorite" in parts
        or parts[-1] in VALUED
        or slot[1] in {"partner", "job", "first language"}
    )


def event(slot: Slot) -> bool:
    return slot[1].split()[-1] in EVENTS or (
        slot[1].split()[0] in EVENTS
        and len(slot[1].split()) == 2
        and slot[1].split()[-1] in {"end", "arrive", "close", "date", "time"}
    )


def _only_moments(said: str) -> bool:
    left = re.sub(
        r"\b(?:at|on|by|in|the|from|and|around|about|every)\b", " ", said, flags=re.IGNORECASE
    )
    for _, value in values.moments(said):
        left = left.replace(value, " ")
    return bool(dict(values.moments(said))) and len(left.split()) <= 3


def kind_of_people(said: str) -> bool:
    """“Greek” and “Mormon” are capitalised and are nobody's name."""
    word = said.casefold().split()[0]
    return word in NATIONALITIES or word in LANGUAGES


def claim(slot: Slot, value: str, *, many: bool = False, holds: bool = True) -> Claim:
    subject, attribute = slot
    attribute = _RENAMED.get(attribute, attribute)
    if attribute == "phone" and value and sum(map(str.isdigit, value)) < _FEWEST_DIGITS:
        # “My phone is a Pixel” says what it is and not how to call it.
        attribute = "phone model"
    many = many or attribute in PLENTY
    return Claim(subject=subject, attribute=attribute, value=value, many=many, holds=holds)


_RENAMED: Final = {"alarm time": "wake-up time"}
_FEWEST_DIGITS: Final = 3

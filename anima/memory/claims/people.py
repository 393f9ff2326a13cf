"""What one clause states of somebody, of the person or of others; knows no text and no other clause."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from anima.memory.claims import facets, patterns, values
from anima.memory.claims.claims import HOME, USER, Claim, Slot, Told
from anima.memory.claims.clauses import Clause
from anima.memory.claims.vocabulary import NO_NAME

_WORK_ENDS = re.compile(r"\s+(?:at|for|in|with|and|on|from|near|under)\s+.*$")


def about_me(text: str, topic: Slot | None) -> Told:
    called = patterns.CALL_ME.fullmatch(text)
    if called is not None:
        name = values.trimmed(called["v"])
        for_good = re.search(
            r"\b(?:now|from now on|instead|actually)\b", called["v"], re.IGNORECASE
        )
        if not values.is_name(name, strong=bool(for_good)):
            return Told()
        known_as = facets.claim((USER, "nickname"), values.value_of(name))
        # Whoever is called so for good may have said another name before.
        renamed = replace(known_as, attribute="name", known=True)
        return Told(claims=[known_as, renamed] if for_good else [known_as])
    reached = patterns.REACHED.fullmatch(text)
    if reached is not None:
        how = values.trimmed(reached["v"])
        kind = "email" if "@" in how else "phone" if values.identifier(how) else ""
        return Told(claims=[facets.claim((USER, kind), values.value_of(how))] if kind else ())
    parted = patterns.PARTED.match(text)
    if parted is not None:
        ended = facets.claim(("user's partner", "name"), values.value_of(parted["v"]), holds=False)
        return Told(claims=[ended])
    home = patterns.HOME_IS.fullmatch(text)
    if home is not None and patterns.is_place(values.trimmed(home["v"])):
        place = values.trimmed(home["v"])
        return Told(claims=[facets.claim((USER, values.level(place)), values.value_of(place))])
    named = patterns.NAMES.fullmatch(text)
    if named is not None and values.is_name(values.trimmed(named["v"])):
        return Told(
            claims=[facets.claim((USER, "name"), values.value_of(values.trimmed(named["v"])))]
        )
    for reading in (_has_named, _counted):
        claims = reading(text)
        if claims:
            subject = claims[0].subject
            person = "" if subject == USER else subject.replace("user's", "my", 1)
            return Told(claims=claims, person=person)
    first = patterns.FIRST.match(text)
    if first is None:
        return Told()
    claims = list(_ways(USER, text[first.end() :]))
    return Told(claims=claims) if claims else _has_event(text)


def _has_event(text: str) -> Told:
    """“I have a dentist appointment on Monday”, beside which there may be others."""
    has = patterns.HAVE_EVENT.fullmatch(text)
    slot = None if has is None else facets.slot_of(f"my {has['n']}")
    if has is not None and slot is not None and facets.event(slot):
        found = facets.facets(slot, has["v"], moved=False, mine=True)
        return Told(claims=[replace(each, many=True) for each in found], topic=slot)
    at = patterns.AM_AT.fullmatch(text)
    if at is None or not values.short(values.trimmed(at["v"])):
        return Told()
    # Where somebody is says nothing, unless “not in Oslo” after it says what it replaces.
    return Told(
        claims=[
            Claim(
                subject=USER,
                attribute="",
                value=values.value_of(values.trimmed(at["v"])),
                known=True,
            )
        ]
    )


def introduced(clause: Clause) -> Told:
    """“I'm Dana”, which only after a greeting says a name."""
    said = patterns.INTRODUCED.fullmatch(clause.text)
    if said is None or not values.is_name(said["v"]) or facets.kind_of_people(said["v"]):
        return Told()
    claim = facets.claim((USER, "name"), values.value_of(said["v"]))
    return Told(claims=[replace(claim, span=(clause.start, clause.end))])


def _has_named(text: str) -> Sequence[Claim]:
    """“I have a dog called Rex”, or “we named the dog Rex”."""
    has = patterns.HAS_NAMED.fullmatch(text)
    if has is not None and values.is_name(values.trimmed(has["v"]), strong=True):
        owner = values.subject_of(f"my {has['r']}")
        return [facets.claim((owner, "name"), values.value_of(values.trimmed(has["v"])), many=True)]
    became = patterns.BECAME_NAMED.fullmatch(text)
    if became is not None and became["r"] and values.is_name(became["v"]):
        return [
            facets.claim(
                (values.subject_of(f"my {became['r']}"), "name"), values.value_of(became["v"])
            )
        ]
    return ()


def _counted(text: str) -> Sequence[Claim]:
    counted = patterns.COUNTED.match(text)
    if counted is None:
        return ()
    noun = counted["n"].casefold()
    noun = "children" if noun == "kids" else noun
    return [facets.claim((USER, f"number of {noun}"), values.value_of(counted["v"]))]


def about_relative(text: str, topic: Slot | None) -> Told:
    """“My sister Ana lives in Nice.”"""
    relative = patterns.RELATIVE.match(text)
    if relative is None:
        return Told()
    subject = values.subject_of(f"my {relative['r']}")
    words = text[relative.end() :]
    claims = list(_ways(subject, words))
    name = relative["n"] or ""
    if not claims and not name:
        plain = re.match(r"(?:is|are|'s)?\s*(?:now\s+)?(?:called\s+|named\s+)?(.+)", words)
        said = "" if plain is None else values.trimmed(plain.group(1))
        verb = bool(relative["be"]) or re.match(r"(?:is|are)\b", words)
        if verb and values.is_name(said) and not facets.kind_of_people(said):
            claims = [facets.claim((subject, "name"), values.value_of(said))]
    if name and name.casefold() not in NO_NAME and (claims or not values.is_name(words)):
        claims.append(facets.claim((subject, "name"), values.value_of(name), many=True))
    return Told(claims=claims, person=f"my {relative['r']}") if claims else Told()


def about_named(text: str, topic: Slot | None) -> Told:
    """“Ana lives in Lyon.”"""
    named = patterns.NAMED.match(text)
    if named is None or any(word.casefold() in NO_NAME for word in named["n"].split()):
        return Told()
    subject = values.subject_of(named["n"])
    claims = [each for each in _ways(subject, text[named.end() :]) if not each.many]
    return Told(claims=claims, person=named["n"])


def _ways(subject: str, words: str) -> Iterator[Claim]:
    """What is said of a person by the words after it, one claim of each attribute."""
    known: set[str] = set()
    for way in patterns.WAYS:
        if way.attribute in known:
            continue
        said = way.words.match(words)
        if said is None:
            continue
        phrase = values.trimmed(said["v"])
        if way.attribute in {"job", "employer"}:
            phrase = _WORK_ENDS.sub("", phrase)
        phrase = (
            re.sub(r"^(?:an?|the)\s+(?=\w)", "", phrase)
            if way.attribute in {"job", "car"}
            else phrase
        )
        if phrase and way.fits(phrase):
            known.add(way.attribute)
            yield from _meant(subject, way, phrase)


def _meant(subject: str, way: patterns.Way, phrase: str) -> Iterator[Claim]:
    value = values.value_of(phrase)
    if way.attribute in {"home", "moved"}:
        level = values.level(phrase)
        yield facets.claim((subject, level), value)
        for finer in HOME[: HOME.index(level)] if way.attribute == "moved" else ():
            yield facets.claim((subject, finer), "", holds=False)
    elif way.attribute in {"origin", "birthplace"}:
        yield facets.claim((subject, f"{way.attribute} {values.level(phrase)}"), value)
    elif way.attribute == "job|employer":
        yield facets.claim((subject, "job"), "", holds=False)
        yield facets.claim((subject, "employer"), "", holds=False)
    elif way.attribute == "partner's name":
        if subject == USER:
            yield facets.claim(("user's partner", "name"), value, holds=way.holds)
    elif way.attribute in {"wake-up time", "bedtime"}:
        yield facets.claim((subject, way.attribute), next(values.moments(f"at {phrase}"))[1])
    elif way.attribute == "birthday":
        yield facets.claim((subject, way.attribute), next(values.moments(phrase))[1])
    elif way.attribute == "age":
        yield facets.claim((subject, "age"), value.split()[0])
    else:
        yield facets.claim((subject, way.attribute), value, many=way.many, holds=way.holds)

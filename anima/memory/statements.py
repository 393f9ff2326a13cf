"""What one clause states of a person or a thing; knows nothing of texts and of other claims."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from anima.memory import facets, patterns, values
from anima.memory.claims import HOME, USER, Claim, Slot
from anima.memory.clauses import Clause
from anima.memory.vocabulary import HOLLOW, NO_NAME, RELATIONS

_LONGEST: Final = 200
"""Characters of a clause that are read: a claim needs no more."""

_LATER_END = re.compile(r"\b(ends?|arrives?|closes?)\b")
_WORK_ENDS = re.compile(r"\s+(?:at|for|in|with|and|on|from|near|under)\s+.*$")


@dataclass(frozen=True, kw_only=True)
class Told:
    """The claims of a clause, and of whom and of what it spoke for the clauses after it.

    `claims` may hold one without an attribute and without an old value, for “not X” to complete.
    """

    claims: Sequence[Claim] = ()
    person: str = ""
    topic: Slot | None = None


def read(clause: Clause, topic: Slot | None) -> Told:
    """What a clause states; `topic` is what “it” means in it."""
    text = clause.text[:_LONGEST]
    contrast = patterns.NOT_BUT.fullmatch(text) if " but " in text else None
    if contrast is not None and (clause.ended or re.search(r"\bnot\b", contrast["s"])):
        return _contrasted(clause, contrast, topic)
    told = _first(text, topic, corrects=clause.corrects)
    placed = [
        replace(
            each,
            span=(clause.start, clause.end),
            holds=each.holds and not clause.ended,
            corrects=clause.corrects,
        )
        for each in told.claims
    ]
    return replace(told, claims=placed)


def _contrasted(clause: Clause, contrast: re.Match[str], topic: Slot | None) -> Told:
    """“X is no longer A but B”: A of X ended, and B holds."""
    before = re.sub(r"\bnot\s+", "", clause.text[: contrast.start("v")].split(" but ")[0])
    told = read(replace(clause, text=before, ended=False), topic)
    claims: list[Claim] = []
    span = (clause.start, clause.end)
    for each in told.claims:
        value = facets.value_for(each.attribute, contrast["v"])
        if value:
            claims += [
                replace(each, holds=False, span=span),
                replace(each, value=value, span=span, corrects=True),
            ]
    return replace(told, claims=claims)


def _first(text: str, topic: Slot | None, *, corrects: bool) -> Told:
    switched = _switched(text, topic, corrects)
    if switched.claims:
        return switched
    for reading in (
        _changed,
        _about_me,
        _about_relative,
        _owned_by_name,
        _about_thing,
        _about_named,
        _inverse,
    ):
        told = reading(text, topic)
        if told.claims or told.topic:
            return told
    return _about_it(text, topic) if corrects else Told()


def _switched(text: str, topic: Slot | None, corrects: bool = False) -> Told:
    """What replaced what, where only the old value says of what it was one."""
    instead = patterns.INSTEAD.fullmatch(text)
    if instead is not None and re.search(r"\binstead of|rather than|in place of", text):
        told = _first(instead["s"], topic, corrects=False)
        value = told.claims[0].value if told.claims else ""
        old = values.value_of(values.trimmed(instead["o"]))
        found = [*told.claims]
        if old:
            found.append(Claim(subject=USER, attribute="", value=value, old=old, known=True))
        return replace(told, claims=found)
    gave_up = patterns.GAVE_UP.fullmatch(text)
    if gave_up is not None and "job" not in gave_up["o"]:
        old = values.value_of(values.trimmed(gave_up["o"]))
        return Told(
            claims=[Claim(subject=USER, attribute="", value="", old=old)]
            if values.short(old)
            else ()
        )
    preferred = patterns.PREFERS.fullmatch(text)
    if preferred is not None:
        value, old = (values.value_of(values.trimmed(preferred[name])) for name in ("v", "o"))
        if values.short(old) and values.short(value) and corrects:
            return Told(
                claims=[Claim(subject=USER, attribute="", value=value, old=old, known=True)]
            )
    kind = patterns.SWITCHED_KIND.fullmatch(text)
    if kind is not None:
        noun = re.sub(r"ies$", "y", kind["n"].casefold()).removesuffix("s")
        slot = (USER, values.attribute_of(noun))
        return Told(
            claims=[facets.claim(slot, values.value_of(values.trimmed(kind["v"])))], topic=slot
        )
    if patterns.CHANGED.fullmatch(text) is not None:
        return Told()
    switched = patterns.SWITCHED.fullmatch(text)
    if switched is None:
        return Told()
    old, value = (values.value_of(values.trimmed(switched[name])) for name in ("o", "v"))
    if not (values.short(old) and values.short(value)) or old == value:
        return Told()
    return Told(claims=[Claim(subject=USER, attribute="", value=value, old=old, known=True)])


def _changed(text: str, topic: Slot | None) -> Told:
    """“We changed the meeting to Friday.”"""
    changed = patterns.CHANGED.fullmatch(text)
    if changed is None:
        return _kept(text)
    name = changed["n"].casefold()
    if name in {"it", "that", "this"}:
        if topic is None:
            return Told()
        claims = [
            replace(each, known=True)
            for each in facets.facets(topic, changed["v"], moved=True, mine=True)
        ]
        return Told(claims=claims, topic=topic)
    slot = facets.slot_of(changed["n"])
    if slot is None or changed["n"].split()[0].casefold() in {"his", "her", "its"}:
        return Told()
    claims = list(facets.facets(slot, changed["v"], moved=True, mine=True))
    kept = _kept(text)
    if kept.claims and not facets.event(slot) and not facets.single(slot):
        return kept
    if changed["o"]:
        old = values.value_of(values.trimmed(changed["o"]))
        value = values.value_of(values.trimmed(changed["v"]))
        claims.append(Claim(subject=USER, attribute="", value=value, old=old, known=True))
    if not facets.single(slot) and not facets.event(slot):
        claims = [replace(each, known=True) for each in claims]
    return Told(claims=claims, topic=slot)


def _kept(text: str) -> Told:
    """“I keep my passport in the safe.”"""
    kept = patterns.KEPT.fullmatch(text)
    if kept is not None:
        slot = facets.slot_of(kept["n"])
        where = values.placed(re.sub(r"^to\s+", "in ", values.trimmed(kept["v"])))
        if slot is not None and where and slot[1].split()[-1] not in HOLLOW:
            place = (slot[0], f"{slot[1]} place")
            return Told(claims=[facets.claim(place, values.value_of(where))], topic=slot)
    named = patterns.NAMED_THING.fullmatch(text)
    if named is not None:
        slot = facets.slot_of(named["n"])
        if slot is not None and values.is_name(named["v"]):
            return Told(claims=[facets.claim(slot, values.value_of(named["v"]))], topic=slot)
    used = patterns.USES_AS.fullmatch(text)
    if used is not None:
        slot = facets.slot_of(values.trimmed(used["n"]))
        if slot is not None and values.short(used["v"]):
            return Told(claims=[facets.claim(slot, values.value_of(used["v"]))], topic=slot)
    return Told()


def _about_me(text: str, topic: Slot | None) -> Told:
    called = patterns.CALL_ME.fullmatch(text)
    if called is not None:
        name = values.trimmed(called["v"])
        for_good = re.search(
            r"\b(?:now|from now on|instead|actually)\b", called["v"], re.IGNORECASE
        )
        if not values.is_name(name, strong=bool(for_good)):
            return Told()
        return Told(
            claims=[facets.claim((USER, "name" if for_good else "nickname"), values.value_of(name))]
        )
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


def _about_relative(text: str, topic: Slot | None) -> Told:
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


def _owned_by_name(text: str, topic: Slot | None) -> Told:
    """“Ana's birthday is on May 3.”"""
    owned = patterns.NAMES_OWNED.fullmatch(text)
    if owned is None or owned["o"].casefold() in NO_NAME or owned["o"].casefold() in RELATIONS:
        return Told()
    slot = (values.subject_of(owned["o"]), values.attribute_of(owned["n"]))
    if not facets.single(slot) and not facets.event(slot):
        return Told()
    claims = list(
        facets.facets(slot, owned["v"], moved=bool(facets.MOVED.search(owned["c"])), mine=True)
    )
    return Told(claims=claims, topic=slot, person=owned["o"])


def _about_thing(text: str, topic: Slot | None) -> Told:
    """“My locker number is 42.”"""
    thing = patterns.THING.fullmatch(text)
    if thing is None:
        named = patterns.TOPIC.fullmatch(text)
        return Told(topic=None if named is None else facets.slot_of(named["n"]))
    slot = facets.slot_of(f"{thing['d']} {thing['n']}")
    if slot is None:
        return Told()
    if thing["c"].strip().casefold() in {"was", "were"}:
        # What was is over, or was never meant to last.
        return Told(topic=slot)
    ends = _LATER_END.search(thing["c"])
    if ends is not None:
        slot = (slot[0], f"{slot[1]} {ends.group(1).rstrip('s')}")
    mine = thing["d"].casefold() in {"my", "our"}
    claims = list(
        facets.facets(slot, thing["v"], moved=bool(facets.MOVED.search(thing["c"])), mine=mine)
    )
    plural = " and " in thing["v"] or (slot[1].startswith("favorite ") and slot[1].endswith("s"))
    return Told(
        claims=[replace(each, many=True) if plural else each for each in claims], topic=slot
    )


def _about_named(text: str, topic: Slot | None) -> Told:
    """“Ana lives in Lyon.”"""
    named = patterns.NAMED.match(text)
    if named is None or any(word.casefold() in NO_NAME for word in named["n"].split()):
        return Told()
    subject = values.subject_of(named["n"])
    claims = [each for each in _ways(subject, text[named.end() :]) if not each.many]
    return Told(claims=claims, person=named["n"])


def _inverse(text: str, topic: Slot | None) -> Told:
    """“Blue is my favourite colour.”"""
    inverse = patterns.INVERSE.fullmatch(text)
    if inverse is None:
        return Told()
    said, name = inverse["v"], values.trimmed(inverse["n"])
    if said.split()[0].casefold() in NO_NAME - {"the", "a", "an"} or re.match(
        r"(?:my|our)\b", said, re.IGNORECASE
    ):
        return Told()
    relation = re.sub(r"^(?:my|our)\s+", "", name.casefold())
    if relation in RELATIONS:
        subject = values.subject_of(name)
        many = relation not in {"wife", "husband", "mother", "father", "boss"}
        claims = (
            [facets.claim((subject, "name"), values.value_of(said), many=many)]
            if values.is_name(said)
            else []
        )
        return Told(claims=claims, person=name if claims else "")
    slot = facets.slot_of(name)
    if slot is None or not facets.single(slot):
        return Told()
    return Told(claims=[facets.claim(slot, values.value_of(said))], topic=slot)


def _about_it(text: str, topic: Slot | None) -> Told:
    """“It's 43 now.”"""
    pronoun = patterns.PRONOUN.fullmatch(text)
    if pronoun is None:
        return Told()
    if topic is None:
        value = values.value_of(values.trimmed(pronoun["v"]))
        return Told(
            claims=[Claim(subject=USER, attribute="", value=value, known=True)]
            if values.short(value)
            else ()
        )
    moved = bool(facets.MOVED.search(pronoun["c"]))
    return Told(
        claims=[
            replace(each, known=True)
            for each in facets.facets(topic, pronoun["v"], moved=moved, mine=True)
        ],
        topic=topic,
    )


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
            yield facets.claim(("user's partner", "name"), value)
    elif way.attribute in {"wake-up time", "bedtime"}:
        yield facets.claim((subject, way.attribute), next(values.moments(f"at {phrase}"))[1])
    elif way.attribute == "birthday":
        yield facets.claim((subject, way.attribute), next(values.moments(phrase))[1])
    elif way.attribute == "age":
        yield facets.claim((subject, "age"), value.split()[0])
    else:
        yield facets.claim((subject, way.attribute), value, many=way.many, holds=way.holds)

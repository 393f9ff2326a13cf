"""What one clause states of a person or a thing; knows nothing of texts and of other claims."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from anima.memory.claims import facets, patterns, people, sayings, values
from anima.memory.claims.claims import PLENTY, USER, Claim, Slot, Told
from anima.memory.claims.clauses import Clause
from anima.memory.claims.vocabulary import HOLLOW, NO_NAME, RELATIONS

_LONGEST: Final = 200
"""Characters of a clause that are read: a claim needs no more."""

_LATER_END = re.compile(r"\b(ends?|arrives?|closes?)\b")
_DROPPED = re.compile(
    r"(?:just\s+|finally\s+|recently\s+)?(?:moved|started|switched|swapped|traded|bought|sold|quit|left|joined"
    r"|changed|replaced|upgraded|became|adopted|retired|relocated|working|living|driving|using|got"
    r"|finished)\s",
    re.IGNORECASE,
)


def read(clause: Clause, topic: Slot | None) -> Told:
    """What a clause states; `topic` is what “it” means in it."""
    text = clause.text[:_LONGEST]
    contrast = patterns.NOT_BUT.fullmatch(text) if " but " in text else None
    if contrast is not None and (clause.ended or re.search(r"\bnot\b", contrast["s"])):
        return _contrasted(clause, contrast, topic)
    if _DROPPED.match(text):
        # “Moved to Oslo” leaves out who did.
        text = f"I {text}"
    told = _with_sayings(text, topic, _first(text, topic, corrects=clause.corrects))
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


def _with_sayings(text: str, topic: Slot | None, told: Told) -> Told:
    """What the patterns and the sayings tell, which are surer of what has the same name."""
    heard = sayings.heard(text, topic)
    if not heard.claims:
        return told if told.claims or told.topic else replace(told, topic=heard.topic)
    slots = {each.slot for each in heard.claims}
    others = [
        each
        for each in told.claims
        if each.slot not in slots
        and (not each.many or each.attribute == "name" or _beside(each, heard.claims))
    ]
    return Told(
        claims=[*heard.claims, *others],
        person=told.person or heard.person,
        topic=heard.topic,
    )


def _beside(claim: Claim, heard: Sequence[Claim]) -> bool:
    """Whether a loose claim says something else: not “likes” of what is the favourite anyway."""
    words = set(claim.value.split())
    return claim.attribute in PLENTY and not any(words & set(each.value.split()) for each in heard)


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
        people.about_me,
        people.about_relative,
        _owned_by_name,
        _about_thing,
        people.about_named,
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
        named = patterns.TOPIC.fullmatch(text) or patterns.CHANGED_THING.fullmatch(text)
        if named is None:
            return Told()
        return Told(
            topic=facets.slot_of(re.sub(r"^an?\s+", "my ", named["n"], flags=re.IGNORECASE))
        )
    slot = facets.slot_of(f"{thing['d']} {thing['n']}")
    if slot is None:
        return Told()
    if thing["c"].strip().casefold() in {"was", "were"}:
        # What was is over, or was never meant to last.
        return Told(topic=slot)
    if "will be" in thing["c"].casefold() and not facets.event(slot):
        # What will be is a plan, unless it is a time.
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

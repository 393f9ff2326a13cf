"""What the lines in force claim, by slot, by value and by wording; knows no ledger and decides nothing.

Built when it is first asked for and never stored: rules that get better read old lines better too.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from anima.memory.claims import slots, values
from anima.memory.claims.claims import USER, Claim, Slot
from anima.memory.claims.clauses import LONGEST, without_reminder
from anima.memory.claims.vocabulary import CONTENTLESS, NUMBERS, WORD_SYNONYMS
from anima.memory.line import LINE, RACE, Line, speaker

_FACETS: Final = ("", " day", " time", " place", " color")
_LONG = 500
_ENDS = " \t.,;:!?\"'()[]*~"
_RELATIVE_TIME = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|(?:this|next|last) \w+|(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|now|just|currently)\b",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"\b(?:not|no|never|nor|neither|without)\b|n't\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_][\w'+#-]*")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is known of one line: whose, when (unix seconds), its claims, and what else it says.

    `form` is its wording without what makes no difference; `rest` counts the words outside claims;
    `words` are those that say something, `marks` those that must not differ in a near-duplicate.
    """

    seq: int
    role: str
    when: float
    form: str
    claims: Sequence[Claim]
    rest: int
    words: frozenset[str]
    marks: frozenset[str]


@dataclass(kw_only=True)
class Known:
    """Follows the lines in force; `add` and `drop` are told of every record."""

    _readings: dict[int, Reading] = field(default_factory=dict)
    _in_force: set[int] = field(default_factory=set)
    _by_form: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    _by_slot: dict[Slot, list[int]] = field(default_factory=dict)
    _by_value: dict[str, list[int]] = field(default_factory=dict)
    _by_name: dict[str, list[int]] = field(default_factory=dict)
    _races: dict[int, int] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        """A record came into force; the second time it is not read again."""
        if line.kind == RACE:
            self._races[line.seq] = line.header.target
        if line.kind != LINE or line.seq in self._in_force:
            return
        reading = self._readings.get(line.seq)
        if reading is None:
            reading = read(line.seq, line.role, line.timestamp, line.text)
        self.hold(reading)

    def hold(self, reading: Reading) -> None:
        """Let a reading count, of a line that is or is about to be."""
        reading = self._bound(reading)
        self._readings[reading.seq] = reading
        self._in_force.add(reading.seq)
        for index, name in self._places(reading):
            index.setdefault(name, []).append(reading.seq)

    def drop(self, seq: int) -> None:
        """A record is no longer in force."""
        self._races.pop(seq, None)
        if seq not in self._in_force:
            return
        self._in_force.discard(seq)
        for index, name in self._places(self._readings[seq]):
            index[name].remove(seq)

    def unread(self, seq: int) -> None:
        """Know nothing of a line that did not come to be."""
        self.drop(seq)
        self._readings.pop(seq, None)

    def reading(self, seq: int) -> Reading | None:
        return self._readings.get(seq) if seq in self._in_force else None

    def readings(self) -> Iterator[Reading]:
        """Of every line in force, in no order."""
        return (self._readings[seq] for seq in self._in_force)

    def worded(self, role: str, form: str) -> Sequence[Reading]:
        """The lines of a role with this wording, newest first."""
        return self._newest(self._by_form.get((role, form), ()))

    def holders(self, slot: Slot) -> Sequence[tuple[Reading, Claim]]:
        """The claims in a slot, under any name of its subject, newest first."""
        same = [(subject, slot[1]) for subject in self.names_of(slot[0])]
        seqs = {seq for each in same for seq in self._by_slot.get(each, ())}
        return [
            (reading, claim)
            for reading in self._newest(seqs)
            for claim in reading.claims
            if claim.slot in same
        ]

    def with_value(self, value: str) -> Sequence[tuple[Reading, Claim]]:
        """The claims with just this value, newest first."""
        return [
            (reading, claim)
            for reading in self._newest(set(self._by_value.get(value, ())))
            for claim in reading.claims
            if claim.value == value
        ]

    def slots_like(self, slot: Slot) -> set[Slot]:
        """Slots of the subject whose name ends as this one's does: “dentist appointment day”."""
        return {
            each
            for each, seqs in self._by_slot.items()
            if seqs and each[0] == slot[0] and each[1].endswith(f" {slot[1]}")
        }

    def facets(self, slot: Slot) -> Iterator[Slot]:
        """The slots under one name: the day, the time, the place of a meeting."""
        return ((slot[0], slot[1] + facet) for facet in _FACETS)

    def names_of(self, subject: str) -> Sequence[str]:
        """A subject by every name: "user's sister" and what she is called."""
        names = {subject}
        if subject.startswith("user's "):
            for reading in map(
                self._readings.__getitem__, self._by_slot.get((subject, "name"), ())
            ):
                names |= {
                    c.value for c in reading.claims if c.slot == (subject, "name") and c.value
                }
        elif subject != USER:
            for reading in map(self._readings.__getitem__, self._by_name.get(subject, ())):
                names |= {c.subject for c in reading.claims if c.value == subject}
        return sorted(names)

    def races_about(self, seq: int) -> int:
        """How many journalled races a line was in that left no other record."""
        return sum(1 for target in self._races.values() if target == seq)

    def _bound(self, reading: Reading) -> Reading:
        """A reading whose “from tea to coffee” is a claim in the slot that had tea."""
        if all(claim.attribute or not claim.old or not claim.value for claim in reading.claims):
            return reading
        claims = []
        for claim in reading.claims:
            slots = {c.slot for _, c in self.with_value(claim.old) if c.holds and c.attribute}
            if claim.attribute or not claim.value or len(slots) != 1:
                claims.append(claim)
                continue
            ((subject, attribute),) = slots
            claims.append(replace(claim, subject=subject, attribute=attribute, known=False))
        return replace(reading, claims=claims)

    def _newest(self, seqs: Iterable[int]) -> Sequence[Reading]:
        found = [self._readings[seq] for seq in seqs]
        return sorted(found, key=lambda each: (each.when, each.seq), reverse=True)

    def _places(self, reading: Reading) -> Iterator[tuple[dict[object, list[int]], object]]:
        """Every index and the name in it under which a reading stands, each once."""
        yield self._by_form, (reading.role, reading.form)  # type: ignore[misc]
        for slot in {claim.slot for claim in reading.claims}:
            yield self._by_slot, slot  # type: ignore[misc]
        for value in {claim.value for claim in reading.claims if claim.value}:
            yield self._by_value, value  # type: ignore[misc]
        named = {c.value for c in reading.claims if c.attribute == "name" and c.subject != USER}
        for name in named:
            yield self._by_name, name  # type: ignore[misc]


def read(seq: int, role: str, when: datetime, text: str) -> Reading:
    """Read one line. Only the user's own words make claims, not what a transcript has others say."""
    role = speaker(role, text)
    claims = [_dated(each, when) for each in slots.extract(text)] if role == USER else ()
    return Reading(
        seq=seq,
        role=role,
        when=when.timestamp(),
        form=form_of(text, when),
        claims=claims,
        rest=slots.rest(text, claims) if claims else 0,
        words=_words(without_reminder(text)),
        marks=_marks(text),
    )


def _dated(claim: Claim, when: datetime) -> Claim:
    """A claim about “in two weeks” as one about a date, by when it was said."""
    return replace(claim, value=values.on_date(claim.value, when)) if claim.value else claim


def form_of(text: str, when: datetime) -> str:
    """The wording of a text without case, spaces and marks at the ends of words.

    Where it speaks of tomorrow or of now, the day on which it was said belongs to it.
    """
    words = [word.strip(_ENDS) for word in text.casefold().split()]
    form = " ".join(word for word in words if word) or text.strip()
    if text.rstrip().endswith("?"):
        form += "?"
    if _RELATIVE_TIME.search(text[:_LONG]):
        form = f"{form}\n{when.date().isoformat()}"
    if len(form) > _LONG:
        return hashlib.blake2b(form.encode(), digest_size=16).hexdigest()
    return form


def says_no_more(new: Reading, old: Reading) -> bool:
    """Whether a line says nothing that another does not: same numbers, names, denials and claims."""
    return (
        new.role == old.role
        and new.marks == old.marks
        and bool(new.words)
        and new.words <= old.words
        and _told(new) == _told(old)
    )


def _told(reading: Reading) -> set[tuple[str, str, str, bool]]:
    return {(*claim.slot, claim.value, claim.holds) for claim in reading.claims}


def _words(text: str) -> frozenset[str]:
    """What a text is about: its words that say something, without their endings."""
    words = _WORD.findall(text[:LONGEST].casefold())
    said = (WORD_SYNONYMS.get(word, word) for word in words if word not in CONTENTLESS)
    return frozenset(values.stem(word) for word in said)


def _marks(text: str) -> frozenset[str]:
    """What must not differ: numbers, names, and whether it denies or asks."""
    words = text[:LONGEST].split()
    marks = {w.strip(_ENDS).casefold() for w in words if any(c.isdigit() for c in w)}
    marks |= {w.casefold() for w in words if w.casefold() in NUMBERS}
    marks |= {
        w.strip(_ENDS).casefold() for w in words[1:] if w[:1].isupper() and len(w.strip(_ENDS)) > 1
    }
    if _DENIAL.search(text):
        marks.add("not")
    if "?" in text:
        marks.add("?")
    return frozenset(marks)

"""Lives to remember, drawn from a seed, with what is true in them; knows no memory and no model.

A life is a few months of talk: facts, changes of facts, corrections, facts said again in other
words, what once was, other people's facts, wishes and questions that claim nothing, and chat. With
it come questions whose answers are known line by line. How things are said lies in two packaged
files: `recall_tune` to tune on, `recall_report` for figures, which is held out.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from anima.evaluation.material import Half
from anima.evaluation.recall_life import (
    COMING,
    GONE,
    YEARLY,
    Attribute,
    Kind,
    Life,
    Query,
    Said,
    attributes,
    forms,
)
from anima.evaluation.recall_wording import (
    WEEKDAYS,
    absolute,
    form_of,
    joined,
    on_day,
    with_article,
    wrapped,
)
from anima.evaluation.texts import read

_START = datetime(2025, 1, 6, 9, tzinfo=UTC)
_DAYS = 120


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How much of everything a life holds; shares are chances per slot."""

    told: int = 18
    untold: int = 8
    chat: int = 60
    changes: float = 0.65
    changes_twice: float = 0.3
    corrections: float = 0.5
    again: float = 0.4
    before: float = 0.35
    others: float = 0.5
    traps: float = 0.5
    late: float = 0.15
    wrapped: float = 0.35


def life(half: Half, *, seed: int, number: int, measure: Measure | None = None) -> Life:
    """The life of this number in a half: always the same for the same seed and measure."""
    chance = random.Random(f"{half} {seed} {number}")
    name = f"{half}-{seed}-{number:03}"
    return _Writing(name, half, chance, Measure() if measure is None else measure).finished()


def lives(half: Half, *, seed: int, count: int, measure: Measure | None = None) -> list[Life]:
    """The first `count` lives of a half."""
    return [life(half, seed=seed, number=at, measure=measure) for at in range(count)]


@dataclass(frozen=True, kw_only=True)
class _Value:
    """A value of a slot: its text, or the day that is put into words where it is said."""

    text: str
    day: date | None = None


@dataclass(kw_only=True, eq=False)
class _Event:
    """Something to be said at a moment; `arrives` is later than `when` for what arrives late."""

    when: datetime
    kind: Kind
    text: str
    slot: str = ""
    value: str = ""
    role: Literal["user", "assistant"] = "user"
    arrives: datetime
    valence: float | None = None


@dataclass(kw_only=True)
class _Slot:
    """One attribute of the life with its values in the order in which they held."""

    attribute: Attribute
    values: list[_Value] = field(default_factory=list)
    since: list[datetime] = field(default_factory=list)
    corrected: bool = False
    late: bool = False


class _Writing:
    """One life while it is written; every draw is from the one `chance`."""

    def __init__(self, name: str, half: Half, chance: random.Random, measure: Measure) -> None:
        self._name = name
        self._chance = chance
        self._measure = measure
        self._forms = forms(half)
        self._pools = read("recall")["pools"][half]
        self._used: dict[str, set[str]] = {}
        self._days: set[date] = set()
        self._events: list[_Event] = []
        self._lured: set[str] = set()

    def finished(self) -> Life:
        every = attributes()
        self._chance.shuffle(every)
        told, rest = every[: self._measure.told], every[self._measure.told :]
        slots = [self._tell(attribute) for attribute in told]
        untold = rest[: self._measure.untold]
        for attribute in (*told, *untold):
            self._around(attribute, told=attribute in told)
        self._chat()
        lines = self._lines()
        queries = [query for slot in slots for query in self._questions(slot, lines)]
        queries += [query for attribute in untold for query in self._unanswerable(attribute)]
        return Life(name=self._name, lines=lines, queries=tuple(queries))

    # What is told

    def _tell(self, attribute: Attribute) -> _Slot:
        slot = _Slot(attribute=attribute)
        count = self._how_many(attribute)
        moments = self._moments(count)
        if not (attribute.changes or attribute.many) and count > 1:
            # A slip is put right in the same breath; nobody lives by the wrong value.
            moments = [moments[0], moments[0] + timedelta(minutes=2)]
            slot.corrected = True
        for at, when in enumerate(moments):
            value = self._draw(attribute, when)
            if value is None:
                break
            old = slot.values[-1] if slot.values else None
            kind: Kind = "fact" if at == 0 or attribute.many else "update"
            self._say(attribute, kind, value, when, old)
            slot.values.append(value)
            slot.since.append(when)
        self._late(slot)
        self._again(slot)
        self._before(slot)
        return slot

    def _how_many(self, attribute: Attribute) -> int:
        draw = self._chance.random()
        if attribute.many:
            return 2 + (draw < 0.4)
        if attribute.changes:
            if draw >= self._measure.changes:
                return 1
            return 2 + (self._chance.random() < self._measure.changes_twice)
        can_be_corrected = bool(self._forms[attribute.name]["updates"])
        return 1 + (can_be_corrected and draw < self._measure.corrections)

    def _moments(self, count: int) -> list[datetime]:
        """Moments on different days, each at least four days after the one before."""
        days = sorted(self._chance.sample(range(0, _DAYS, 4), count))
        return [self._moment(day) for day in days]

    def _moment(self, day: int) -> datetime:
        # Whole minutes that are no multiple of ten: chat takes those, so that no two lines tie.
        minute = self._chance.randrange(0, 60) * 10 + self._chance.randrange(1, 8)
        moment = _START + timedelta(days=day, minutes=minute)
        return moment + timedelta(seconds=len(self._events) % 60)

    def _draw(self, attribute: Attribute, when: datetime) -> _Value | None:
        """A value that nothing in this life has yet; None where the pool is used up."""
        if attribute.pool == COMING:
            return self._day_after(when)
        if attribute.pool in (GONE, YEARLY):
            day = _START.date() - timedelta(days=self._chance.randint(2, 60))
            said = absolute(day, self._chance)
            return _Value(text=said, day=day if attribute.pool == GONE else None)
        text = self._fresh(attribute.pool)
        return None if text is None else _Value(text=text)

    def _day_after(self, when: datetime) -> _Value:
        """A day ahead that no other dated fact of this life has."""
        while True:
            day = when.date() + timedelta(days=self._chance.randint(1, 28))
            if day not in self._days:
                self._days.add(day)
                return _Value(text=day.isoformat(), day=day)

    def _fresh(self, pool: str) -> str | None:
        used = self._used.setdefault(pool, set())
        left = [each for each in self._pool(pool) if each not in used]
        if not left:
            return None
        text = self._chance.choice(left)
        used.add(text)
        return text

    def _pool(self, name: str) -> Sequence[str]:
        if name in self._pools:
            found: Sequence[str] = self._pools[name]
            return found
        draw = self._chance.randrange
        made: Mapping[str, Sequence[str]] = {
            "number": [f"0{draw(300, 999)} {draw(100, 999)} {draw(100, 999)}"],
            "address": [f"{self._chance.choice(self._pools['name']).lower()}{draw(10, 999)}@example.org"],
            "clock": [f"{hour}:{minute}" for hour in (5, 6, 7, 8) for minute in (10, 25, 40, 55)],
            "amount": [f"{draw(40, 190) * 10} euros"],
            "size": [str(size) for size in range(36, 47)],
            "weekday": WEEKDAYS,
            "code": [f"{draw(1000, 10000)}"],
        }  # fmt: skip
        return made[name]

    def _say(
        self,
        attribute: Attribute,
        kind: Kind,
        value: _Value,
        when: datetime,
        old: _Value | None = None,
        *,
        different_from: str = "",
    ) -> None:
        own = self._forms[attribute.name]
        choices = list(own["updates" if kind == "update" else "facts"])
        choices = [each for each in choices if each != different_from] or choices
        form = self._chance.choice(choices)
        if kind == "again":
            # The wrap is chosen first, so that the sentence itself stays one of the forms.
            form = self._chance.choice(self._forms["again"]).replace("{s}", joined(form))
        text = self._filled(form, value, when, old)
        if self._chance.random() < self._measure.wrapped:
            text = wrapped(self._chance.choice(self._forms["wrap"]), text)
        self._add(kind, text, when, attribute, value)

    def _filled(self, form: str, value: _Value, when: datetime, old: _Value | None = None) -> str:
        said = value.text if value.day is None else on_day(value.day, when.date(), self._chance)
        was = "" if old is None else old.text
        if old is not None and old.day is not None:
            was = on_day(old.day, when.date(), self._chance)
        text = form.replace("{v_bare}", said.removeprefix("on ")).replace("{v}", said)
        text = text.replace("{a_old}", with_article(was)).replace("{old}", was)
        text = text.replace("{a}", with_article(said))
        return text.replace("{n}", self._fresh("name") or "Alex") if "{n}" in text else text

    def _add(
        self, kind: Kind, text: str, when: datetime, attribute: Attribute, value: _Value | None
    ) -> None:
        self._events.append(
            _Event(
                when=when, arrives=when, kind=kind, text=text, slot=attribute.name,
                value="" if value is None else value.text,
                valence=attribute.feeling if kind in ("fact", "update") else None,
            )
        )  # fmt: skip

    def _late(self, slot: _Slot) -> None:
        """Sometimes the first fact arrives after what replaced it, with its own time."""
        able = slot.attribute.changes and not slot.attribute.dated and len(slot.values) > 1
        if not able or self._chance.random() >= self._measure.late:
            return
        first = next(e for e in self._events if e.slot == slot.attribute.name and e.kind == "fact")
        first.arrives = slot.since[-1] + timedelta(days=1, seconds=30)
        slot.late = True

    def _again(self, slot: _Slot) -> None:
        """Sometimes what holds at the end is said again in other words."""
        if slot.attribute.many or self._chance.random() >= self._measure.again:
            return
        when = slot.since[-1] + timedelta(days=self._chance.randint(1, 3), seconds=17)
        value = slot.values[-1]
        if value.day is not None and slot.attribute.pool == COMING and value.day <= when.date():
            return
        form = form_of(self._forms[slot.attribute.name]["facts"], self._last_text(slot))
        self._say(slot.attribute, "again", value, when, different_from=form)

    def _last_text(self, slot: _Slot) -> str:
        return [each.text for each in self._events if each.slot == slot.attribute.name][-1]

    def _before(self, slot: _Slot) -> None:
        """Sometimes something long past is mentioned: it never was the present of this life."""
        choices = self._forms[slot.attribute.name].get("before", ())
        if not choices or self._chance.random() >= self._measure.before:
            return
        when = self._moment(self._chance.randrange(_DAYS))
        value = self._draw(slot.attribute, when)
        if value is not None:
            text = self._filled(self._chance.choice(choices), value, when)
            self._add("before", text, when, slot.attribute, value)

    def _around(self, attribute: Attribute, *, told: bool) -> None:
        """Other people's facts of the same kind, and sentences that claim nothing."""
        kinds: tuple[tuple[Kind, str, float], ...] = (
            ("other", "others", self._measure.others), ("trap", "traps", self._measure.traps),
        )  # fmt: skip
        for kind, name, share in kinds:
            if self._chance.random() >= share:
                continue
            when = self._moment(self._chance.randrange(_DAYS))
            form = self._chance.choice(self._forms[attribute.name][name])
            value = self._draw(attribute, when)
            if value is None:
                continue
            if kind == "other":
                self._lured.add(attribute.name)
            self._add(kind, self._filled(form, value, when), when, attribute, value)

    def _chat(self) -> None:
        for at in range(self._measure.chat):
            day = self._chance.randrange(_DAYS)
            when = _START + timedelta(days=day, minutes=10 * self._chance.randrange(60), seconds=at)
            text = self._chance.choice(self._forms["chat"])
            self._events.append(_Event(when=when, arrives=when, kind="chat", text=text))
            if self._chance.random() < 0.3:
                after = when + timedelta(seconds=1)
                text = self._chance.choice(self._forms["reply"])
                self._events.append(
                    _Event(when=after, arrives=after, kind="reply", text=text, role="assistant")
                )

    def _lines(self) -> tuple[Said, ...]:
        ordered = sorted(self._events, key=lambda event: event.arrives)
        return tuple(
            Said(
                id=at, text=event.text, when=event.when, kind=event.kind, role=event.role,
                slot=event.slot, value=event.value, valence=event.valence,
            )
            for at, event in enumerate(ordered)
        )  # fmt: skip

    # What is asked

    def _questions(self, slot: _Slot, lines: Sequence[Said]) -> Iterator[Query]:
        attribute, own = slot.attribute, self._forms[slot.attribute.name]
        saying = {
            value.text: frozenset(
                line.id
                for line in lines
                if line.claims and line.slot == attribute.name and line.value == value.text
            )
            for value in slot.values
        }
        current = slot.values if attribute.many else slot.values[-1:]
        gold = tuple(saying[value.text] for value in current)
        stale = frozenset[int]().union(*saying.values()) - frozenset[int]().union(*gold)
        about: dict[str, Any] = {
            "slot": attribute.name, "many": attribute.many, "dated": attribute.dated,
            "feeling": attribute.feeling is not None, "late": slot.late,
            "lure": attribute.name in self._lured,
        }  # fmt: skip
        for name, paraphrased in (("literal", False), ("paraphrased", True)):
            text = self._chance.choice(own[name])
            yield Query(
                text=text, asks="now", gold=gold, stale=stale, paraphrased=paraphrased, **about
            )
        last = slot.values[-1]
        if attribute.pool == COMING and last.day is not None:
            day = _Value(text=f"on {absolute(last.day, self._chance)}")
            text = self._filled(self._chance.choice(own["bydate"]), day, slot.since[-1])
            yield Query(text=text, asks="by date", gold=gold, stale=stale, **about)
        if len(slot.values) > 1 and not attribute.many and not slot.corrected:
            yield from self._of_the_past(slot, saying, about)

    def _of_the_past(
        self, slot: _Slot, saying: Mapping[str, frozenset[int]], about: Mapping[str, Any]
    ) -> Iterator[Query]:
        own, every = self._forms[slot.attribute.name], frozenset[int]().union(*saying.values())
        for at, value in enumerate(slot.values[:-1]):
            middle = slot.since[at] + (slot.since[at + 1] - slot.since[at]) / 2
            gold = saying[value.text]
            text = self._chance.choice(own["literal"])
            yield Query(
                text=text, asks="as of", gold=(gold,), stale=every - gold, at=middle, **about
            )
        if own["past"] and len(slot.values) == 2:
            gold = saying[slot.values[0].text]
            text = self._chance.choice(own["past"])
            yield Query(text=text, asks="past", gold=(gold,), **about)

    def _unanswerable(self, attribute: Attribute) -> Iterator[Query]:
        own = self._forms[attribute.name]
        for name, paraphrased in (("literal", False), ("paraphrased", True)):
            text = self._chance.choice(own[name])
            yield Query(
                text=text, asks="nothing", slot=attribute.name, gold=(), paraphrased=paraphrased,
                lure=attribute.name in self._lured,
            )  # fmt: skip

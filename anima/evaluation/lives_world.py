"""Lives for `anima eval lives`: facts that come up in talk, some of which change; knows no model.

A life is drawn from its half, the seed and its number. The halves share neither facts nor values.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from anima.evaluation.material import Half
from anima.evaluation.texts import read

FEELING_SHARE = 0.4
"""How many of a life's facts are emotional ones."""

CHANGED_SHARE = 0.3
"""How many of a life's facts change once."""

_BORN = datetime(2026, 1, 5, 9, tzinfo=UTC)
_BETWEEN_TURNS = timedelta(minutes=2)
_BETWEEN_SESSIONS = timedelta(days=1)
# Facts come up in the first part of a life and change in the second; the rest is talk alone.
_TOLD_UNTIL, _CHANGED_UNTIL = 0.6, 0.9


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How long a life is: facts, turns of other talk, sessions."""

    facts: int = 10
    talk: int = 300
    sessions: int = 20


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One fact as it is true in the end: the line that said it, the question, the right answers.

    `old` holds the answers that were right until it changed, none where it never did.
    """

    slot: str
    line: str
    asked: str
    answers: tuple[str, ...]
    old: tuple[str, ...] = ()
    feeling: float | None = None


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What a person says, when, and in which session from 0; `slot` is the fact that it tells."""

    text: str
    when: datetime
    session: int
    slot: str = ""


@dataclass(frozen=True, kw_only=True)
class Life:
    """A life: everything that a person says in it, and what is true at its end."""

    name: str
    turns: tuple[Turn, ...]
    facts: tuple[Fact, ...]

    @property
    def end(self) -> datetime:
        """A day after the last turn, when questions are asked."""
        return self.turns[-1].when + _BETWEEN_SESSIONS


def life(half: Half, *, seed: int, number: int, measure: Measure, talk: Sequence[str]) -> Life:
    """A life of a measure amid `talk`, of which there must be as many lines as it asks for."""
    chance = random.Random(f"lives {half} {seed} {number}")
    told: list[tuple[str, str]] = []
    changed: list[tuple[str, str]] = []
    facts = []
    for kind, changes in _kinds(half, measure.facts, chance):
        first, later = chance.sample(kind["values"], 2)
        line = chance.choice(kind["told"]).format(v=_said(first))
        told.append((line, kind["slot"]))
        if changes:
            line = chance.choice(kind["changed"]).format(v=_said(later), old=_said(first))
            changed.append((line, kind["slot"]))
        facts.append(
            Fact(
                slot=kind["slot"],
                line=line,
                asked=kind["asked"],
                answers=tuple((later if changes else first).split("|")),
                old=tuple(first.split("|")) if changes else (),
                feeling=kind.get("feeling"),
            )
        )
    lines = _mixed(told, changed, list(talk[: measure.talk]), chance)
    chance.shuffle(facts)
    return Life(
        name=f"{half}-{number}", turns=tuple(_timed(lines, measure.sessions)), facts=tuple(facts)
    )


def small_talk(half: Half, count: int, chance: random.Random) -> list[str]:
    """Lines of no weight where there is no conversation of people to take them from."""
    pool = list(read(f"recall_{half}")["chat"])
    return [chance.choice(pool) for _ in range(count)]


def _kinds(half: Half, count: int, chance: random.Random) -> list[tuple[Mapping[str, Any], bool]]:
    """So many kinds of facts, some of them emotional, and whether each changes; in any order."""
    kinds = read("lives")[half]
    moving = [kind for kind in kinds if "feeling" in kind]
    plain = [kind for kind in kinds if "feeling" not in kind]
    feelings = round(FEELING_SHARE * count)
    drawn = chance.sample(moving, feelings) + chance.sample(plain, count - feelings)
    able = [kind["slot"] for kind in drawn if "changed" in kind]
    changing = set(chance.sample(able, min(len(able), round(CHANGED_SHARE * count))))
    chance.shuffle(drawn)
    return [(kind, kind["slot"] in changing) for kind in drawn]


def _mixed(
    told: Sequence[tuple[str, str]],
    changed: Sequence[tuple[str, str]],
    talk: Sequence[str],
    chance: random.Random,
) -> list[tuple[str, str]]:
    """The lines of a life in their order, each with the slot that it tells of or ""."""
    total = len(told) + len(changed) + len(talk)
    late = max(len(told), round(_TOLD_UNTIL * total))
    end = max(late + len(changed), round(_CHANGED_UNTIL * total))
    places = dict(zip(chance.sample(range(late), len(told)), told, strict=True))
    places |= zip(chance.sample(range(late, end), len(changed)), changed, strict=True)
    rest = iter(talk)
    return [places[at] if at in places else (next(rest), "") for at in range(total)]


def _timed(lines: Sequence[tuple[str, str]], sessions: int) -> list[Turn]:
    """Lines spread evenly over sessions, one a day."""
    turns: list[Turn] = []
    started = 0
    for at, (text, slot) in enumerate(lines):
        session = at * sessions // len(lines)
        if turns and session != turns[-1].session:
            started = at
        when = _BORN + session * _BETWEEN_SESSIONS + (at - started) * _BETWEEN_TURNS
        turns.append(Turn(text=text, when=when, session=session, slot=slot))
    return turns


def _said(value: str) -> str:
    """A value as it is told: the first of its spellings."""
    return value.split("|")[0]

"""Lives a life through the real door, turn by turn on a persona's disk; draws and judges nothing.

A life that was broken off goes on where it was: every turn is committed, so the persona itself says
how far it came.
"""

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from anima.config import Settings
from anima.errors import UsageError
from anima.evaluation.lives_world import Life, Turn, small_talk
from anima.evaluation.material import Half
from anima.home import Home
from anima.memory import Memory
from anima.memory.claims.race import Said
from anima.memory.organ import NAME as MEMORY
from anima.persona.session import ids, read_session, sessions
from anima.persona.store import Persona
from anima.runtime.likelihood import Likelihood
from anima.runtime.loop import Runtime
from anima.runtime.opening import wake
from anima.runtime.remembering import writing

if TYPE_CHECKING:
    from anima.trunk.interface import Trunk
    from anima.trunk.loader import Loaded

TALK_TOKENS = 16
TALK_WINDOW = 1024
TALK_TEMPERATURE, TALK_PENALTY = 0.7, 1.15
"""What keeps replies of a small model in a long talk from being all the same one."""

_LONGEST = 300  # characters of a line of talk; longer ones are passed over
_TICK = timedelta(milliseconds=10)
_SEEDS = 1000  # between the first seeds of two sessions


@dataclass(kw_only=True)
class Hours:
    """A clock that stands where a life is, and gains a little whenever it is read."""

    now: datetime

    def __call__(self) -> datetime:
        self.now += _TICK
        return self.now


class _Lent:
    """A trunk that one runtime after another has: what closes it leaves it as it is."""

    def __init__(self, trunk: "Trunk") -> None:
        self._trunk = trunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trunk, name)

    def close(self) -> None:
        """Nothing: it belongs to somebody else."""


def talk_of(half: Half, number: int, count: int, say: Callable[[str], None]) -> list[str]:
    """So many lines of what people say to one another, others for each life and half.

    They are one person's part of conversations of the PyPI package `chitchat_dataset`; where that
    is not installed, small talk that is drawn.
    """
    chance = random.Random(f"talk {half} {number}")
    try:
        conversations = _conversations()
    except UsageError:
        say("chitchat_dataset is not installed: the talk is drawn from a short list")
        return small_talk(half, count, chance)
    lines: list[str] = []
    for one in chance.sample(range(len(conversations)), len(conversations)):
        lines += [text for text in conversations[one] if len(text) <= _LONGEST]
        if len(lines) >= count:
            break
    return lines[:count]


@cache
def _conversations() -> Sequence[Sequence[str]]:
    from anima.features.corpus import chitchat

    return [one.turns[::2] for one in chitchat().conversations]


def live(
    life: Life, home: Home, settings: Settings, loaded: "Loaded", say: Callable[[str], None]
) -> None:
    """Have the persona of the life's name live it to its end, from wherever it is."""
    chosen = replace(
        settings,
        persona=life.name, max_tokens=TALK_TOKENS, window=TALK_WINDOW,
        temperature=TALK_TEMPERATURE, repetition_penalty=TALK_PENALTY, repeat_guard=0.0,
        litany_guard=0.0,
        memory="on", race="rules", control="none",
    )  # fmt: skip
    lived, before = lived_turns(home, life.name), 0
    for number, turns in groupby(life.turns, key=lambda turn: turn.session):
        every = list(turns)
        left = every[max(0, lived - before) :]
        before += len(every)
        if left:
            # A session gone on with keeps the seed that it began with.
            seed = number * _SEEDS if left == every else None
            _session(left, home, replace(chosen, seed=seed), loaded, going_on=left != every)
            say(f"{life.name}: {before} of {len(life.turns)} turns")


def lived_turns(home: Home, persona: str) -> int:
    """How many turns a persona has lived through."""
    if not home.persona(persona).is_dir():
        return 0
    return sum(session.turns for session in sessions(home, persona))


@contextmanager
def awake(
    home: Home,
    settings: Settings,
    loaded: "Loaded",
    clock: Hours,
    *,
    session: str | None = None,
    ephemeral: bool = False,
) -> Iterator[Runtime]:
    """The persona of the settings on a model that is loaded; `ephemeral` keeps nothing of it."""
    kept = Persona.open(home, settings.persona, clock=clock, ephemeral=ephemeral)
    lent = replace(loaded, trunk=cast("Trunk", _Lent(loaded.trunk)))
    try:
        runtime = wake(kept, settings, home, lent, clock=clock, session=session)
    except BaseException:
        kept.close()
        raise
    with runtime:
        yield runtime


@contextmanager
def rewritten(
    home: Home,
    settings: Settings,
    *,
    race: bool,
    likelihood: Likelihood | None,
    now: datetime,
) -> Iterator[Home]:
    """A home in which a persona lived the very same talk, its memory written by another race."""
    with tempfile.TemporaryDirectory(prefix="anima-lives-") as folder:
        place = replace(home, root=Path(folder))
        source, target = home.persona(settings.persona), place.persona(settings.persona)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("memory.*", "lock*"))
        with writing(place, settings, clock=Hours(now=now)) as door:
            for said in _said(home, settings.persona):
                if race:
                    door.memory.race(said, likelihood=likelihood)
                else:
                    _put(door.memory, said)
        yield place


def _said(home: Home, persona: str) -> Iterator[list[Said]]:
    """What every turn of a persona gave its memory to remember, in order."""
    for session in ids(home.persona(persona)):
        for record in read_session(home, persona, session):
            delta = record.get("deltas", {}).get(MEMORY)
            if delta is None:
                continue
            context = {"session": session, "turn": record["turn"]}
            began, ended = (datetime.fromisoformat(record[name]) for name in ("started", "ended"))
            said = [Said(text=record["text"], timestamp=began, context=context)]
            if "left_out" not in delta:
                reply = record["reply"].strip()
                said.append(Said(text=reply, role="assistant", timestamp=ended, context=context))
            yield said


def _put(memory: Memory, said: Sequence[Said]) -> None:
    memory.commit(
        [
            memory.draft(None, each.text, each.context, role=each.role, timestamp=each.timestamp)
            for each in said
        ]
    )


def _session(
    turns: Sequence[Turn], home: Home, settings: Settings, loaded: "Loaded", *, going_on: bool
) -> None:
    hours = Hours(now=turns[0].when)
    session = "continue" if going_on else None
    with awake(home, settings, loaded, hours, session=session) as runtime:
        for turn in turns:
            hours.now = turn.when
            runtime.say(turn.text)

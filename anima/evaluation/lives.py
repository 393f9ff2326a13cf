"""`anima eval lives`: does a persona know what it was told, after much other talk and a restart?

A life is the unit: facts amid talk over many sessions, lived once on a persona's disk, then asked
under every arm from a copy of it, so that arms differ in nothing else. The arms that write otherwise
take down the very same talk anew.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from anima.config import Settings
from anima.evaluation.harness import (
    OFF,
    PLACEBO,
    SHUFFLED,
    ZOMBIE,
    Cell,
    Line,
    Request,
    Row,
    Study,
    grouped,
    means,
)
from anima.evaluation.lives_talk import Hours, awake, live, rewritten, talk_of
from anima.evaluation.lives_world import Fact, Life, Measure, life
from anima.evaluation.matching import says
from anima.evaluation.material import Half
from anima.evaluation.opening import open_model
from anima.events import Recalled, Replied
from anima.home import Home
from anima.memory.organ import NAME as MEMORY
from anima.runtime.likelihood import Likelihood
from anima.runtime.loop import Runtime

if TYPE_CHECKING:
    import numpy

    from anima.trunk.loader import Loaded

LIMIT = 32
"""Tokens of an answer."""

ROW, ALONE = "in a row", "one at a time"
"""Ten questions in one session, as a person would ask; or each as the first of a session."""

WITH, IN_PROMPT, QUOTED = "with memory", "fact in prompt", "right line quoted"
WRITTEN = {"off": "without a race", "likelihood": "race by likelihood"}
WAYS = ("bias", "knn", "overlay", "quote+bias", "quote+knn", "quote+overlay")
FIGURES = (
    "exact", "stale", "right line recalled", "silent", "quoted, unused", "exact, changed",
    "exact, feeling", "exact, neutral",
)  # fmt: skip

_LIVES = {"smoke": 1, "full": 8}
_MEASURES = {"smoke": Measure(facts=3, talk=6, sessions=2), "full": Measure()}

Given = Literal["", "prompt", "quoted"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A way to be asked: settings that differ from the defaults, and what the asker adds.

    `given` puts the right line before the question as words of one's own, or in the place of what is
    recalled. `written` is the race by which the talk is taken down anew. `groups` are the ways of
    asking that it is asked in.
    """

    name: str
    settings: Mapping[str, Any]
    given: Given = ""
    written: str | None = None
    groups: tuple[str, ...] = (ROW,)


def arms(half: Half) -> list[Arm]:
    """Every arm of a half; the tune half alone tries how many lines to recall."""
    both = (ROW, ALONE)
    found = [
        Arm(name=WITH, settings={}, groups=both),
        Arm(name=OFF, settings={"memory": "off"}, groups=both),
        Arm(name=IN_PROMPT, settings={"memory": "off"}, given="prompt", groups=both),
        Arm(name=QUOTED, settings={}, given="quoted", groups=both),
        *(Arm(name=name, settings={"control": name}) for name in (ZOMBIE, PLACEBO, SHUFFLED)),
        *(Arm(name=name, settings={}, written=race) for race, name in WRITTEN.items()),
        *(Arm(name=ways, settings={"memory_into": ways}) for ways in WAYS),
    ]
    if half == "tune":
        counts = (1, 2, 5, 8)
        found += [
            Arm(name=f"{count} recalled", settings={"recall_lines": count}, groups=both)
            for count in counts
        ]
    return found


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer, judged: see `judged`."""

    slot: str
    asked: str
    reply: str
    right: bool
    stale: bool
    recalled: bool
    quoted: bool
    silent: bool
    lines: tuple[str, ...]


def prepare(request: Request) -> Study:
    """The lives of a half; see `study`."""
    return study(request, open_model(request))


def study(request: Request, loaded: "Loaded") -> Study:
    """The same on a model that is there already."""
    half: Half = request.options.get("half") or "report"
    measure, count = _MEASURES[request.size], _LIVES[request.size]
    held = contextlib.ExitStack()
    kept = request.options.get("lives") or held.enter_context(
        tempfile.TemporaryDirectory(prefix="anima-lives-")
    )
    stand = Stand(
        home=replace(request.home, root=Path(kept).absolute()),
        settings=request.settings, loaded=loaded, say=request.say,
    )  # fmt: skip
    every = {
        each.name: each
        for each in (
            life(
                half, seed=request.seed, number=number, measure=measure,
                talk=talk_of(half, number, measure.talk, request.say),
            )
            for number in range(count)
        )
    }  # fmt: skip
    chosen = {arm.name: arm for arm in arms(half)}

    def measured(cells: Sequence[Cell]) -> list[Row]:
        return [stand.row(every[cell.unit], chosen[cell.arm], cell.group) for cell in cells]

    def close() -> None:
        held.close()
        loaded.trunk.close()

    info = loaded.trunk.info
    return Study(
        name="lives",
        unit="life",
        cells=tuple(
            Cell(unit=unit, arm=arm.name, group=group)
            for arm in chosen.values()
            for group in arm.groups
            for unit in every
        ),
        measure=measured,
        tabulate=tabulate,
        settings={
            "model": info.fingerprint, "engine": info.engine, "quantize": info.quantize,
            "size": request.size, "seed": request.seed, "half": half, **asdict(measure),
        },
        batch=1,
        close=close,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Stand:
    """Lives lives once each under a home of their own, and asks them under arms from copies."""

    home: Home
    settings: Settings
    loaded: "Loaded"
    say: Callable[[str], None]

    def row(self, life: Life, arm: Arm, group: str) -> Row:
        """All questions of a life under an arm: each answer, and what they add up to."""
        live(life, self.home, self.settings, self.loaded, self.say)
        with self._place(life, arm) as home, self._awake(life, arm, home) as runtime:
            answers = [answer(runtime, life, fact, arm, group) for fact in life.facts]
        return {**shares(life, answers), "answers": [asdict(each) for each in answers]}

    def _place(self, life: Life, arm: Arm) -> contextlib.AbstractContextManager[Home]:
        """Where the persona is that the arm asks."""
        if arm.written is None:
            return contextlib.nullcontext(self.home)
        settings = replace(self.settings, persona=life.name)
        likelihood = None
        if arm.written == "likelihood":
            trunk, tokenizer = self.loaded.trunk, self.loaded.tokenizer
            likelihood = Likelihood(trunk=trunk, encode=tokenizer.encode)
        return rewritten(
            self.home, settings, race=arm.written != "off", likelihood=likelihood, now=life.end
        )

    def _awake(
        self, life: Life, arm: Arm, home: Home
    ) -> contextlib.AbstractContextManager[Runtime]:
        settings = replace(
            self.settings,
            persona=life.name, max_tokens=LIMIT, temperature=0.0, seed=0,
            **{"memory": "on", "control": "none", **arm.settings},
        )  # fmt: skip
        return awake(home, settings, self.loaded, Hours(now=life.end), ephemeral=True)


def answer(runtime: Runtime, life: Life, fact: Fact, arm: Arm, group: str) -> Answer:
    """Ask for one fact and judge what comes."""
    text = f"{fact.line}\n{fact.asked}" if arm.given == "prompt" else fact.asked
    if arm.given == "quoted":
        runtime.rehearse({MEMORY: {"recalled": [_line(life, fact)], "framed": True}})
    events = list(runtime.preview(text) if group == ALONE else runtime.turn(text))
    reply = next(event.text for event in events if isinstance(event, Replied))
    recalled = [line for event in events if isinstance(event, Recalled) for line in event.lines]
    return judged(
        fact,
        reply,
        recalled=[str(line["text"]) for line in recalled],
        quoted=[str(line["text"]) for line in _quoted(runtime, recalled, arm, group)],
    )


def judged(fact: Fact, reply: str, *, recalled: Sequence[str], quoted: Sequence[str]) -> Answer:
    """An answer is right that gives the value and not the one before it, and stale the other way.

    The right line counts as recalled or quoted where any line has the value in it.
    """
    right, stale = says(reply, fact.answers), bool(fact.old) and says(reply, fact.old)
    return Answer(
        slot=fact.slot,
        asked=fact.asked,
        reply=reply,
        right=right and not stale,
        stale=stale and not right,
        recalled=any(says(line, fact.answers) for line in recalled),
        quoted=any(says(line, fact.answers) for line in quoted),
        silent=not recalled,
        lines=tuple(recalled),
    )


def shares(life: Life, answers: Sequence[Answer]) -> dict[str, float | None]:
    """The figures of a life, each a share of its questions; None where none is of that kind."""
    changed = {fact.slot for fact in life.facts if fact.old}
    feeling = {fact.slot for fact in life.facts if fact.feeling is not None}
    kept = [each for each in answers if each.slot not in changed]
    return {
        "exact": _share(each.right for each in answers),
        "stale": _share(each.stale for each in answers if each.slot in changed),
        "right line recalled": _share(each.recalled for each in answers),
        "silent": _share(each.silent for each in answers),
        "quoted, unused": _share(each.quoted and not each.right for each in answers),
        "exact, changed": _share(each.right for each in answers if each.slot in changed),
        "exact, feeling": _share(each.right for each in kept if each.slot in feeling),
        "exact, neutral": _share(each.right for each in kept if each.slot not in feeling),
    }


def tabulate(rows: Sequence[Row], generator: "numpy.random.Generator") -> list[Line]:
    """The mean of each figure over lives, and how far the memory is from the fact in the prompt."""
    from anima.evaluation.statistics import paired_difference

    lines = means(FIGURES)(rows, generator)
    for group in (ROW, ALONE):
        exact = {
            arm: {row["unit"]: row["exact"] for row in members}
            for (name, arm), members in grouped(rows).items()
            if name == group
        }
        ours = exact.get(WITH, {})
        for other in (IN_PROMPT, *WRITTEN.values()):
            if ours.keys() & exact.get(other, {}).keys():
                found = paired_difference(ours, exact[other], generator)
                name = f"{WITH} − {other}"
                lines.append(Line(group=group, arm=name, figures={"exact": found}))
    return lines


def _quoted(
    runtime: Runtime, recalled: Sequence[Mapping[str, Any]], arm: Arm, group: str
) -> Sequence[Mapping[str, Any]]:
    """What stood in the context: what was recalled, but where a control put something else."""
    if group == ALONE or runtime.last is None:
        return recalled
    found: Sequence[Mapping[str, Any]] = (
        runtime.last["deltas"].get(MEMORY, {}).get("quoted", recalled)
    )
    return found


def _line(life: Life, fact: Fact) -> Mapping[str, Any]:
    """The line that says a fact, as a turn's record has what it recalled."""
    when = next(turn.when for turn in life.turns if turn.text == fact.line)
    return {
        "seq": 0, "anchor": "0" * 64, "text": fact.line, "role": "user",
        "timestamp": when.isoformat(), "score": 1.0, "terms": {},
    }  # fmt: skip


def _share(values: Iterable[bool]) -> float | None:
    found = [float(value) for value in values]
    return sum(found) / len(found) if found else None

"""Memory in the conversation: recalls for a turn, quotes what it found, remembers what was said.

It knows a memory and the contract of organs, and neither the model nor where a persona is kept.
Only the user's own text and the model's reply are ever remembered: what was quoted never is, and
neither is a reply that says nothing but what was quoted or asked.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from anima.context import Segment
from anima.errors import StateError, StorageError, UsageError
from anima.events import Event, Notice, Recalled, Remembered
from anima.memory.api import Memory
from anima.memory.asking import Hit
from anima.memory.into import quoting
from anima.memory.line import LINE, Line, Vector
from anima.memory.ranking.recall import THOUGHT
from anima.organ import Contribution, Delta, OrganState, Reading, Spoken, Turn

NAME: Final = "memory"
SCHEMA: Final = 1

if TYPE_CHECKING:
    from anima.memory.claims.race import Decision, Likelihood, Said
    from anima.memory.into.inlet import Inlet, Opened

Control = Literal["none", "off", "zombie", "placebo", "shuffled"]

BLOCK = 512
"""Most tokens of a quoted block, however much room there is."""

NEAR = 0.5
"""The share of the best line's score that a line needs to be quoted beside it."""

MODEL: Final = "model"
"""In the context of a line with a value: the model that the value is one of."""

_LOOKED_AT = 5  # lines that are looked at for each that may be quoted
_DRAWN = 64  # newest lines among which a control draws
_TRIED = 8  # other texts for which it looks
_AHEAD = 20  # lines read ahead at once: a turn that begins meanwhile waits no longer than for them


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How much is recalled for a turn, and what becomes of what was said.

    `lines` is the most that are recalled; `race` False puts every line as it is; `likelihood`
    scores the race by the model itself; `control` is an experiment's. `quote` False lets lines act
    in other ways alone.
    """

    lines: int = 3
    race: bool = True
    likelihood: "Likelihood | None" = None
    control: Control = "none"
    quote: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class _Recall:
    """What a turn recalled, as its record holds it, and what of it stands in the context."""

    recalled: Sequence[Mapping[str, Any]] = ()
    quoted: Sequence[Mapping[str, Any]] = ()
    abstained: bool = False
    confidence: float | None = None

    def as_json(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            "recalled": [dict(line) for line in self.recalled],
            "abstained": self.abstained,
            "confidence": self.confidence,
        }
        if self.quoted != self.recalled:
            values["quoted"] = [dict(line) for line in self.quoted]
        return values


@dataclass(kw_only=True, eq=False)
class _Running:
    """A turn that was begun. `script` is the delta that a turn run again is to come to."""

    turn: Turn
    begun: datetime
    recall: _Recall
    spoken: Spoken | None = None
    script: Mapping[str, Any] | None = None
    opened: "Opened | None" = None

    @property
    def into(self) -> Mapping[str, Any]:
        """What acted beside the quoted block, as the turn's record holds it."""
        return self.opened.record() if self.opened is not None else {}


class MemoryOrgan:
    """A memory that takes part in turns; without one it can only run recorded turns again.

    `measure` counts a text's tokens; `inlet` lets lines act beside the quoted block. Lines that the
    disk refused are written with the next that it takes. Not for use from several threads; the
    memory itself is.
    """

    name = NAME

    def __init__(
        self,
        memory: Memory | None,
        *,
        rules: Rules,
        clock: Callable[[], datetime],
        measure: Callable[[str], int],
        inlet: "Inlet | None" = None,
    ) -> None:
        self.memory = memory
        self._inlet = inlet
        self._rules = rules
        self._clock = clock
        self._measure = measure
        self._running: _Running | None = None
        self._script: Mapping[str, Any] | None = None
        self._late: list[Said] = []
        self._loaded = OrganState(schema=SCHEMA)

    @property
    def control(self) -> Control:
        return self._rules.control

    @property
    def late(self) -> int:
        """Lines that the disk refused so far."""
        return len(self._late)

    def remember(self, text: str, context: Mapping[str, Any]) -> dict[str, Any]:
        """Remember a text outside a turn; returns what became of it, see `Remembered`."""
        from anima.memory.claims.race import Said

        if self.memory is None:
            raise StateError("There is no memory here to remember anything in.")
        said = Said(text=text, role="user", timestamp=self._clock(), context=context)
        (decision,) = self._decided(self.memory, [said])
        return _made(said, decision)

    def read_ahead(self) -> bool:
        """Read what a few more lines claim, for the next race; whether any are left."""
        if self.memory is None or not self._rules.race:
            return False
        try:
            return self.memory.read_claims(_AHEAD) > 0
        except StateError:
            return False  # closed meanwhile

    def rehearse(self, recorded: Mapping[str, Any]) -> None:
        """Quote what a recorded turn quoted, in the next turn and for it alone; looks up nothing.

        `recorded` is that turn's own delta, and becomes the next one's.
        """
        self._script = recorded

    def contribute(self, turn: Turn) -> Contribution:
        script, self._script = self._script, None
        if script is not None:
            recall = _recorded(script)
        elif self.memory is None or self._rules.control == "off":
            self._running = None
            return Contribution()
        else:
            recall = self._recalled(self.memory, turn)
        opened = self._opened(recall, script)
        if not self._rules.quote:
            recall = replace(recall, quoted=())
        self._running = _Running(
            turn=turn, begun=self._clock(), recall=recall, script=script, opened=opened
        )
        block = quoting.block(recall.quoted)
        segments = (Segment(role="memory", text=block),) if block else ()
        if opened is None:
            return Contribution(segments=segments, events=_told(recall))
        return Contribution(
            segments=segments,
            events=_told(recall),
            taps=opened.taps,
            logit_bias=opened.logit_bias,
        )

    def _opened(self, recall: _Recall, script: Mapping[str, Any] | None) -> "Opened | None":
        """What acts beside the quoted block: what a record says, else what was recalled."""
        if self._inlet is None:
            return None
        if script is not None:
            return self._inlet.reopen(script["into"]) if script.get("into") else None
        assert self.memory is not None
        gate = 1.0 if recall.confidence is None else min(1.0, max(0.0, recall.confidence))
        values = self._values(self.memory, self._inlet.model, recall.quoted)
        return self._inlet.open(recall.quoted, gate=gate, values=values)

    def _values(
        self, memory: Memory, model: str, lines: Sequence[Mapping[str, Any]]
    ) -> Mapping[int, Vector]:
        """The values that lines were remembered with by this very model, by their numbers."""
        found = [memory.line(int(line["seq"])) for line in lines]
        return {
            line.seq: line.value
            for line in found
            if line.value is not None and line.context.get(MODEL) == model
        }

    def observe(self, reading: Reading) -> None:
        """What was said is heard as text, when it is whole."""

    def hear(self, spoken: Spoken) -> None:
        """The reply of the turn that runs, whole or stopped."""
        if self._running is not None:
            self._running.spoken = spoken

    def finish(self) -> tuple[Sequence[Event], Delta]:
        running, self._running = self._running, None
        if running is None:
            return (), Delta()
        if running.script is not None:
            return (), Delta(values=running.script)
        if running.spoken is None or self.memory is None:
            return (), Delta()
        before = self.memory.count
        mused, step = self._mused(self.memory, running, running.spoken)
        said, left_out = self._said(running, running.spoken, step)
        values = {
            "session": running.turn.session,
            "turn": running.turn.number,
            **running.recall.as_json(),
            **({"left_out": left_out} if left_out else {}),
            **({"into": running.into} if running.into else {}),
        }
        events, written = self._remember(self.memory, said, before)
        return [*mused, *events], Delta(values={**values, **written})

    def _mused(
        self, memory: Memory, running: _Running, spoken: Spoken
    ) -> tuple[Sequence[Event], Mapping[str, Any]]:
        """Put each stage of thinking, the seed's way; returns what the answer's line says of it."""
        step: dict[str, Any] = {}
        marks = {"session": running.turn.session, "turn": running.turn.number}
        try:
            for stage, text in spoken.thoughts:
                context = {**marks, **step, "stage": stage}
                step = {"previous": memory.put(None, text, context, role=THOUGHT)}
        except StorageError as error:
            return [Notice(message=f"What was thought is not remembered: {error}")], {}
        return (), {**step, "stage": "answer"} if step else {}

    def undo(self, delta: Delta) -> None:
        """Take a turn's lines and closings out of force, by a record; a copy's are not its own."""
        values = delta.values
        if self.memory is None or "session" not in values:
            return
        turn = (values["session"], values["turn"])
        self._late = [each for each in self._late if _turn_of(each.context) != turn]
        if values.get("late"):
            every = self.memory.peek(self.memory.count)
            seqs = [line.seq for line in every if _turn_of(line.context) == turn]
        else:
            seqs = _records(self.memory, values)
        if seqs:
            self.memory.take_back(seqs)

    def state(self) -> OrganState:
        if self.memory is None:
            return self._loaded
        return OrganState(
            schema=SCHEMA, values={"count": self.memory.count, "head": self.memory.head}
        )

    def load(self, state: OrganState) -> None:
        """A ledger is brought to its commit when it is opened; here the commit is only noted."""
        if state.schema != SCHEMA:
            raise StateError(
                f"The memory's commit was saved under schema {state.schema}, and this version "
                f"reads {SCHEMA}: update Anima."
            )
        self._loaded = state

    def _recalled(self, memory: Memory, turn: Turn) -> _Recall:
        known = _known(turn.past)
        hits, abstained, confidence = self._asked(memory, turn.text, known)
        zone = self._clock().tzinfo
        recalled = [_as_json(hit, zone) for hit in hits]
        fitting = self._fitting(recalled, turn.room)
        return _Recall(
            recalled=fitting,
            quoted=self._quoted(memory, turn, fitting, known),
            abstained=abstained,
            confidence=confidence,
        )

    def _asked(
        self, memory: Memory, text: str, known: frozenset[int]
    ) -> tuple[list[Hit], bool, float | None]:
        """The lines worth quoting for a text, best first, and how sure the memory is of them."""
        if not memory.count:
            return [], True, None
        try:
            # More than are quoted: what was only asked before stands among what was told.
            reply = memory.ask(text, _LOOKED_AT * self._rules.lines, explain=True, without=known)
        except UsageError:
            # A text of signs alone: nothing can be looked for.
            return [], True, None
        if reply.abstained:
            return [], True, reply.confidence
        telling = [hit for hit in reply.hits if _worth_quoting(hit.line.text, text)]
        best = max((hit.score for hit in telling), default=0.0)
        hits = [hit for hit in telling if hit.score >= NEAR * best][: self._rules.lines]
        return hits, not hits, reply.confidence

    def _fitting(self, lines: Sequence[Mapping[str, Any]], room: int) -> list[Mapping[str, Any]]:
        """As many of the best lines as fit into the room that the turn leaves."""
        kept: list[Mapping[str, Any]] = []
        for line in lines:
            if self._measure(quoting.block([*kept, line])) > min(room, BLOCK):
                break
            kept.append(line)
        return kept

    def _quoted(
        self,
        memory: Memory,
        turn: Turn,
        recalled: Sequence[Mapping[str, Any]],
        known: frozenset[int],
    ) -> Sequence[Mapping[str, Any]]:
        """What stands in the context: what was recalled, or what a control puts in its place."""
        control = self._rules.control
        if control in ("none", "off") or not recalled:
            return recalled
        if control == "zombie":
            return ()
        chance = random.Random(f"{control} {turn.seed} {turn.number}")
        passed = known | {int(line["seq"]) for line in recalled}
        if control == "placebo":
            others = self._others(memory, passed)
            drawn = chance.sample(others, min(len(recalled), len(others)))
        else:
            drawn = self._for_another(memory, chance, frozenset(passed))
        zone = self._clock().tzinfo
        lines = [_as_json(hit, zone) for hit in drawn[: len(recalled)]]
        return self._fitting(lines, turn.room)

    def _for_another(
        self, memory: Memory, chance: random.Random, passed: frozenset[int]
    ) -> list[Hit]:
        """What is recalled for something else that was said, the first that recalls anything."""
        asked = [hit.line for hit in self._others(memory, passed)]
        for line in chance.sample(asked, min(len(asked), _TRIED)):
            drawn, _, _ = self._asked(memory, line.text, passed | {line.seq})
            if drawn:
                return drawn
        return []

    def _others(self, memory: Memory, passed: frozenset[int]) -> list[Hit]:
        return [
            Hit(line=line, score=0.0, terms={}, merged=())
            for line in self._in_force(memory)
            if line.seq not in passed and line.text.strip()
        ]

    def _in_force(self, memory: Memory) -> Sequence[Line]:
        """The newest lines in force."""
        return [line for line in memory.peek(_DRAWN) if line.kind == LINE]

    def _said(
        self, running: _Running, spoken: Spoken, step: Mapping[str, Any]
    ) -> tuple[list["Said"], str | None]:
        """What of a turn is to be remembered, and why its reply is not, where it is not."""
        from anima.memory.claims.race import Said

        turn = running.turn
        context: dict[str, Any] = {"session": turn.session, "turn": turn.number}
        said = [self._valued(Said(text=turn.text, timestamp=running.begun, context=context))]
        reply = spoken.text.strip()
        if not reply:
            return said, "empty"
        acting = (*running.recall.quoted, *running.into.get("lines", ()))
        quoted = [str(line["text"]) for line in acting]
        # A bare yes repeats nothing of what was said, though it has no word of weight.
        weighty = bool(quoted) or not quoting.adds_nothing(reply, ())
        if weighty and quoting.adds_nothing(reply, [*quoted, turn.text]):
            return said, "repeats"
        marked = {**context, **step, **({"partial": True} if spoken.finish == "stopped" else {})}
        line = Said(text=reply, role="assistant", timestamp=self._clock(), context=marked)
        said.append(self._valued(line))
        return said, None

    def _valued(self, said: "Said") -> "Said":
        """With its value on this model, where values are wanted and others' are no wider."""
        if self._inlet is None or self.memory is None:
            return said
        value = self._inlet.value(said.text)
        if value is None or self.memory.value_width not in (None, len(value)):
            return said
        return replace(said, value=value, context={**said.context, MODEL: self._inlet.model})

    def _remember(
        self, memory: Memory, said: "Sequence[Said]", before: int
    ) -> tuple[Sequence[Event], dict[str, Any]]:
        """Write what was said, with what the disk refused before, in one durable commit."""
        waiting = [*self._late, *said]
        try:
            decisions = self._decided(memory, waiting)
        except StorageError as error:
            self._late = waiting
            told = f"{error} What was said is remembered with the next turn that can be."
            return [Notice(message=told)], {"late": True}
        except UsageError as error:
            return [Notice(message=f"This turn is not remembered: {error}")], {}
        self._late = []
        lines = [_made(each, decision) for each, decision in zip(waiting, decisions, strict=True)]
        earlier = len(waiting) - len(said)
        own = lines[earlier:]
        # Lines of an earlier turn in the same commit come first, and are not this one's to undo.
        before = max((seq for each in decisions[:earlier] for seq in each.records), default=before)
        written = {
            "remembered": own, "records": [before + 1, memory.count], "head": memory.head
        }  # fmt: skip
        return [Remembered(lines=tuple(own))], written

    def _decided(self, memory: Memory, said: "Sequence[Said]") -> "Sequence[Decision]":
        if self._rules.race:
            return memory.race(said, likelihood=self._rules.likelihood)
        drafts = [
            memory.draft(
                None,
                each.text if each.value is None else (each.text, each.value),
                each.context,
                role=each.role,
                timestamp=each.timestamp,
            )
            for each in said
        ]
        return [_inserted(line) for line in memory.commit(drafts)]


def _inserted(line: Line) -> "Decision":
    from anima.memory.claims.race import Decision

    return Decision(
        kind="insert", line=line, target=None, closed=(), reason="without a race", candidates={},
        records=(line.seq,),
    )  # fmt: skip


def _turn_of(context: Mapping[str, Any]) -> tuple[Any, Any]:
    return context.get("session"), context.get("turn")


def _known(past: Sequence[Mapping[str, Any]]) -> frozenset[int]:
    """The lines that stand in the context already: what its turns said, and what they quoted."""
    known: set[int] = set()
    for values in past:
        known |= {int(line["seq"]) for line in values.get("quoted", values.get("recalled", ()))}
        for line in values.get("remembered", ()):
            known |= {int(seq) for seq in (line["seq"], line["target"]) if seq}
    return frozenset(known)


def _worth_quoting(text: str, asked: str) -> bool:
    """Whether a line tells anything to who asks: not the same question, or one like it."""
    return bool(text.strip()) and not (
        quoting.adds_nothing(text, [asked]) or quoting.only_asks(text)
    )


def _recorded(values: Mapping[str, Any]) -> _Recall:
    recalled = values.get("recalled", ())
    return _Recall(
        recalled=recalled,
        quoted=values.get("quoted", recalled),
        abstained=bool(values.get("abstained")),
        confidence=values.get("confidence"),
    )


def _told(recall: _Recall) -> Sequence[Event]:
    lines = tuple(dict(line) for line in recall.recalled)
    return [Recalled(lines=lines, abstained=recall.abstained)]


def _as_json(hit: Hit, zone: Any) -> dict[str, Any]:
    """A line that was found as events and records have it, its time in the zone of the clock."""
    line = hit.line
    return {
        "seq": line.seq,
        "anchor": line.anchor,
        "text": line.text,
        "role": line.role,
        "timestamp": line.timestamp.astimezone(zone).isoformat(),
        "score": hit.score,
        "terms": dict(hit.terms or {}),
    }


def _made(said: "Said", decision: "Decision") -> dict[str, Any]:
    """What became of one thing said, as events and records have it."""
    return {
        "seq": None if decision.line is None else decision.line.seq,
        "anchor": None if decision.line is None else decision.line.anchor,
        "role": said.role,
        "decision": decision.kind,
        "target": decision.target,
        "closed": list(decision.closed),
    }


def _records(memory: Memory, values: Mapping[str, Any]) -> list[int]:
    """The records that a turn wrote, none where the ledger is not the one that they are in."""
    first, last = values.get("records", (1, 0))
    if last < first or last > memory.count or memory.line(last).anchor != values["head"]:
        return []
    return [seq for seq in range(first, last + 1) if memory.in_force(seq)]

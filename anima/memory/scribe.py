"""What of a turn is remembered, written in one commit, kept where the disk refuses, taken back.

It knows a memory and what was said, and neither what was recalled for it nor the model. Only the
user's own text and the model's reply are ever remembered: what was quoted never is, and neither is
a reply that says nothing but what was quoted or asked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from anima.errors import StorageError, UsageError
from anima.events import Event, Notice, Remembered
from anima.memory.api import Memory
from anima.memory.into import quoting
from anima.memory.line import Line
from anima.memory.ranking.recall import THOUGHT
from anima.organ import Spoken, Turn

if TYPE_CHECKING:
    from anima.memory.claims.race import Decision, Likelihood, Said
    from anima.memory.into.inlet import Inlet

MODEL: Final = "model"
"""In the context of a line with a value: the model that the value is one of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Exchange:
    """A turn that is over: when it began, its reply, the texts of lines that acted in it."""

    turn: Turn
    begun: datetime
    spoken: Spoken
    acting: Sequence[str] = ()

    @property
    def place(self) -> dict[str, Any]:
        """The session and the number of the turn, as its lines' contexts have them."""
        return {"session": self.turn.session, "turn": self.turn.number}


class Scribe:
    """Writes turns into a memory; lines that the disk refused come with the next that it takes.

    `race` False puts every line as it is; `likelihood` scores the race by the model itself; `inlet`
    makes values for those ways into the model that want them.
    """

    def __init__(
        self,
        *,
        race: bool,
        likelihood: "Likelihood | None",
        clock: Callable[[], datetime],
        inlet: "Inlet | None",
    ) -> None:
        self._race = race
        self._likelihood = likelihood
        self._clock = clock
        self._inlet = inlet
        self._late: list[Said] = []

    @property
    def late(self) -> int:
        """Lines that the disk refused so far."""
        return len(self._late)

    def note(self, memory: Memory, text: str, context: Mapping[str, Any]) -> dict[str, Any]:
        """Remember a text outside a turn; returns what became of it, see `Remembered`."""
        from anima.memory.claims.race import Said

        said = Said(text=text, role="user", timestamp=self._clock(), context=context)
        (decision,) = self._decided(memory, [said])
        return _made(said, decision)

    def write(
        self, memory: Memory, exchange: Exchange
    ) -> tuple[Sequence[Event], Mapping[str, Any]]:
        """Remember a turn in one durable commit; returns what is told and what its delta holds."""
        before = memory.count
        mused, step = self._mused(memory, exchange)
        said, left_out = self._said(memory, exchange, step)
        events, written = self._remember(memory, said, before)
        return [*mused, *events], {**({"left_out": left_out} if left_out else {}), **written}

    def take_back(self, memory: Memory, values: Mapping[str, Any]) -> None:
        """Take what a turn wrote out of force, and what of it still waits; see `take_back`."""
        turn = (values["session"], values["turn"])
        self._late = [each for each in self._late if _turn_of(each.context) != turn]
        take_back(memory, values)

    def _mused(
        self, memory: Memory, exchange: Exchange
    ) -> tuple[Sequence[Event], Mapping[str, Any]]:
        """Put each stage of thinking, the seed's way; returns what the answer's line says of it."""
        step: dict[str, Any] = {}
        try:
            for stage, text in exchange.spoken.thoughts:
                context = {**exchange.place, **step, "stage": stage}
                step = {"previous": memory.put(None, text, context, role=THOUGHT)}
        except StorageError as error:
            return [Notice(message=f"What was thought is not remembered: {error}")], {}
        return (), {**step, "stage": "answer"} if step else {}

    def _said(
        self, memory: Memory, exchange: Exchange, step: Mapping[str, Any]
    ) -> tuple[list["Said"], str | None]:
        """What of a turn is to be remembered, and why its reply is not, where it is not."""
        from anima.memory.claims.race import Said

        text, spoken = exchange.turn.text, exchange.spoken
        asked = Said(text=text, timestamp=exchange.begun, context=exchange.place)
        said = [self._valued(memory, asked)]
        reply = spoken.text.strip()
        if not reply:
            return said, "empty"
        # A bare yes repeats nothing of what was said, though it has no word of weight.
        weighty = bool(exchange.acting) or not quoting.adds_nothing(reply, ())
        if weighty and quoting.adds_nothing(reply, [*exchange.acting, text]):
            return said, "repeats"
        partial = {"partial": True} if spoken.finish == "stopped" else {}
        context = {**exchange.place, **step, **partial}
        line = Said(text=reply, role="assistant", timestamp=self._clock(), context=context)
        said.append(self._valued(memory, line))
        return said, None

    def _valued(self, memory: Memory, said: "Said") -> "Said":
        """With its value on this model, where values are wanted and others' are no wider."""
        if self._inlet is None:
            return said
        value = self._inlet.value(said.text)
        if value is None or memory.value_width not in (None, len(value)):
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
        if self._race:
            return memory.race(said, likelihood=self._likelihood)
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


def take_back(memory: Memory, values: Mapping[str, Any]) -> None:
    """Take a turn's lines and closings out of force, by a record; `values` are its delta's."""
    if values.get("late"):
        turn = (values["session"], values["turn"])
        every = memory.peek(memory.count)
        seqs = [line.seq for line in every if _turn_of(line.context) == turn]
    else:
        seqs = _records(memory, values)
    if seqs:
        memory.take_back(seqs)


def _records(memory: Memory, values: Mapping[str, Any]) -> list[int]:
    """The records that a turn wrote, none where the ledger is not the one that they are in."""
    first, last = values.get("records", (1, 0))
    if last < first or last > memory.count or memory.line(last).anchor != values["head"]:
        return []
    return [seq for seq in range(first, last + 1) if memory.in_force(seq)]


def _turn_of(context: Mapping[str, Any]) -> tuple[Any, Any]:
    return context.get("session"), context.get("turn")


def _inserted(line: Line) -> "Decision":
    from anima.memory.claims.race import Decision

    return Decision(
        kind="insert", line=line, target=None, closed=(), reason="without a race", candidates={},
        records=(line.seq,),
    )  # fmt: skip


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

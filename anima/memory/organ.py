"""Memory in the conversation: recalls for a turn, quotes what it found, remembers what was said.

It knows a memory and the contract of organs, and neither the model nor where a persona is kept.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from anima.context import Segment
from anima.errors import StateError
from anima.events import Event
from anima.memory.api import Memory
from anima.memory.into import quoting
from anima.memory.line import Vector
from anima.memory.recalling import Control, Recaller, TurnRecall
from anima.memory.scribe import MODEL, Exchange, Scribe
from anima.organ import Contribution, Delta, OrganState, Reading, Spoken, Turn

if TYPE_CHECKING:
    from anima.memory.claims.race import Likelihood
    from anima.memory.into.inlet import Inlet, Opened

NAME: Final = "memory"
SCHEMA: Final = 1

UNDONE: Final = "undone"
"""In the organ's state: deltas of turns that were undone while their lines were out of reach."""

_TAKEN_BACK_BY = ("session", "turn", "records", "head", "late")  # of a delta, no word that was said
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


@dataclass(kw_only=True, eq=False)
class _Running:
    """A turn that was begun. `script` is the delta that a turn run again is to come to."""

    turn: Turn
    begun: datetime
    recall: TurnRecall
    spoken: Spoken | None = None
    script: Mapping[str, Any] | None = None
    opened: "Opened | None" = None

    @property
    def into(self) -> Mapping[str, Any]:
        """What acted beside the quoted block, as the turn's record holds it."""
        return self.opened.record() if self.opened is not None else {}

    def over(self, spoken: Spoken) -> Exchange:
        """The turn, now that it has its reply."""
        acting = (*self.recall.quoted, *self.into.get("lines", ()))
        asked = [line["asked"] for line in acting if "asked" in line]
        texts = [str(line["text"]) for line in (*acting, *asked)]
        return Exchange(turn=self.turn, begun=self.begun, spoken=spoken, acting=texts)


class MemoryOrgan:
    """A memory that takes part in turns; without one it runs recorded turns again, and notes undos.

    `measure` counts a text's tokens; `inlet` lets lines act beside the quoted block. Where lines are
    quoted no reply begins with one of the ids `unsaid`, see `quoting.BEGINNINGS`. Not for use from
    several threads; the memory itself is.
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
        unsaid: Sequence[int] = (),
    ) -> None:
        self.memory = memory
        self._unsaid = tuple(unsaid)
        self._inlet = inlet
        self._rules = rules
        self._clock = clock
        self._recaller = Recaller(
            lines=rules.lines, control=rules.control, clock=clock, measure=measure
        )
        self._scribe = Scribe(
            race=rules.race, likelihood=rules.likelihood, clock=clock, inlet=inlet
        )
        self._running: _Running | None = None
        self._script: Mapping[str, Any] | None = None
        self._loaded = OrganState(schema=SCHEMA)

    @property
    def late(self) -> int:
        """Lines that the disk refused so far."""
        return self._scribe.late

    def remember(self, text: str, context: Mapping[str, Any]) -> dict[str, Any]:
        """Remember a text outside a turn; returns what became of it, see `Remembered`."""
        if self.memory is None:
            raise StateError("There is no memory here to remember anything in.")
        return self._scribe.note(self.memory, text, context)

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
            recall = TurnRecall.of(script)
        elif self.memory is None or self._rules.control == "off":
            self._running = None
            return Contribution()
        else:
            recall = self._recaller.recall(self.memory, turn)
        opened = self._opened(recall, script)
        if not self._rules.quote:
            recall = replace(recall, quoted=())
        self._running = _Running(
            turn=turn, begun=self._clock(), recall=recall, script=script, opened=opened
        )
        block = quoting.block(recall.quoted)
        return Contribution(
            segments=(Segment(role="memory", text=block),) if block else (),
            events=recall.events,
            taps=opened.taps if opened is not None else {},
            logit_bias=opened.logit_bias if opened is not None else None,
            unsaid=self._unsaid if block and recall.framed else (),
        )

    def _opened(self, recall: TurnRecall, script: Mapping[str, Any] | None) -> "Opened | None":
        """What acts beside the quoted block: what a record says, else what was recalled."""
        if self._inlet is None:
            return None
        if script is not None:
            return self._inlet.reopen(script["into"]) if script.get("into") else None
        assert self.memory is not None
        gate = 1.0 if recall.confidence is None else min(1.0, max(0.0, recall.confidence))
        values = _values(self.memory, self._inlet.model, recall.quoted)
        return self._inlet.open(recall.quoted, gate=gate, values=values)

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
        exchange = running.over(running.spoken)
        events, written = self._scribe.write(self.memory, exchange)
        into = {"into": running.into} if running.into else {}
        values = {**exchange.place, **running.recall.as_json(), **into, **written}
        return events, Delta(values=values)

    def undo(self, delta: Delta) -> None:
        """Take a turn's lines and closings out of force, by a record.

        Without its memory the organ notes what is to be taken back, and whoever opens the memory
        next does it (`remembering.forget_undone`).
        """
        values = delta.values
        if "session" not in values:
            return
        if self.memory is not None:
            self._scribe.take_back(self.memory, values)
            return
        noted = {name: values[name] for name in _TAKEN_BACK_BY if name in values}
        before = {"count": 0, "head": "", UNDONE: (), **self._loaded.values}
        self._loaded = OrganState(
            schema=SCHEMA, values={**before, UNDONE: [*before[UNDONE], noted]}
        )

    def state(self) -> OrganState:
        return self._loaded if self.memory is None else state_of(self.memory)

    def load(self, state: OrganState) -> None:
        """A ledger is brought to its commit when it is opened; here the commit is only noted."""
        if state.schema != SCHEMA:
            raise StateError(
                f"The memory's commit was saved under schema {state.schema}, and this version "
                f"reads {SCHEMA}: update Anima."
            )
        self._loaded = state


def state_of(memory: Memory) -> OrganState:
    """What HEAD.json keeps of a memory: how many records it has, and the last one's anchor."""
    return OrganState(schema=SCHEMA, values={"count": memory.count, "head": memory.head})


def _values(memory: Memory, model: str, lines: Sequence[Mapping[str, Any]]) -> Mapping[int, Vector]:
    """The values that lines were remembered with by this very model, by their numbers."""
    found = [memory.line(int(line["seq"])) for line in lines]
    return {
        line.seq: line.value
        for line in found
        if line.value is not None and line.context.get(MODEL) == model
    }

"""The organs of a runtime as one: who takes part in a turn, what they add, learn and take back.

It knows organs by their contract alone, and no model, no session and no disk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from anima.errors import UsageError
from anima.events import Event
from anima.organ import Contribution, Delta, Hearing, Organ, OrganState, Reading, Spoken, Turn
from anima.runtime.draft import merged
from anima.runtime.record import Record


class Organs:
    """Organs in their order; a `resting` one takes no part but takes back what it once did."""

    def __init__(self, every: Sequence[Organ], resting: Sequence[Organ] = ()) -> None:
        self._every = {organ.name: organ for organ in every}
        self._resting = {organ.name: organ for organ in resting}
        self._off: set[str] = set()
        self._stirred: set[str] = set()

    def switch(self, name: str, on: bool) -> None:
        """Let an organ take part in turns or not; raises UsageError for one that is not there."""
        if name not in self._every:
            raise UsageError(f"There is no organ {name!r}: there are {', '.join(self._every)}.")
        (self._off.discard if on else self._off.add)(name)

    def switches(self) -> dict[str, bool]:
        """Which organs there are, and whether they take part."""
        return {name: name not in self._off for name in self._every}

    @property
    def active(self) -> Sequence[Organ]:
        """Those that take part."""
        return [organ for name, organ in self._every.items() if name not in self._off]

    def contribute(self, turn: Turn, standing: Sequence[Record]) -> Contribution:
        """What they add to a turn that follows the turns recorded in `standing`."""
        parts = []
        for organ in self.active:
            past = [record["deltas"].get(organ.name, {}) for record in standing]
            parts.append(organ.contribute(replace(turn, past=past)))
        return merged(parts)

    def observe(self, reading: Reading) -> None:
        """Show them a token of the reply."""
        for organ in self.active:
            organ.observe(reading)

    def finish(self, spoken: Spoken) -> tuple[Sequence[Event], Mapping[str, Any]]:
        """End a turn; returns what is told, and the deltas of those that changed, by name."""
        told: list[Event] = []
        deltas: dict[str, Any] = {}
        for organ in self.active:
            if isinstance(organ, Hearing):
                organ.hear(spoken)
            events, delta = organ.finish()
            told += events
            if delta:
                deltas[organ.name] = dict(delta.values)
        return told, deltas

    def discard(self) -> None:
        """Take back what they began with a turn that failed."""
        for organ in self.active:
            _, delta = organ.finish()
            organ.undo(delta)

    def undo(self, deltas: Mapping[str, Any]) -> None:
        """Take back what a turn changed, in the order in which it is given."""
        for name, values in deltas.items():
            organ = self._every.get(name) or self._resting.get(name)
            if organ is not None:
                organ.undo(Delta(values=values))
                self._stirred.add(name)

    def states(self) -> dict[str, OrganState]:
        """What each keeps, by name; a resting one's own once it took something back."""
        stirred = {name: organ for name, organ in self._resting.items() if name in self._stirred}
        return {name: organ.state() for name, organ in (self._every | stirred).items()}

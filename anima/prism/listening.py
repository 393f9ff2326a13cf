"""What the taps wrote and saw during one turn, kept as tensors and looked at when it is over.

It knows roles, states and tensors, and neither modes' files nor what a turn is for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from anima.context import Role
from anima.features.corpus import CONTENT
from anima.prism.force import Applied
from anima.steering.delta import pushing
from anima.steering.state import Written
from anima.steering.trace import PushRecord, Trace, records, traced
from anima.trunk.interface import Tap, Taps

if TYPE_CHECKING:
    from anima.steering.state import State


@dataclass(frozen=True, kw_only=True, eq=False)
class _Call:
    """One call's content: the number of its first token in the turn, and `[1, q, 1]` what counts.

    `mask` None is everything.
    """

    start: int
    mask: Tensor | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    """Consecutive content tokens under one state: their places in the turn, and what it did."""

    places: tuple[int, ...]
    trace: Trace


@dataclass(frozen=True, kw_only=True, eq=False)
class Heard:
    """A turn's content tokens: residuals `[t, d]` before the pushes, and each one's place.

    `places` count the tokens that the turn computed, from 0; `stretches` cover those pushed.
    """

    residuals: Tensor
    places: tuple[int, ...]
    stretches: tuple[Stretch, ...]


@dataclass(kw_only=True, eq=False)
class Listening:
    """Places the taps of one turn's calls and keeps what they show.

    `now` says what is in force when a call begins, by its number in the turn: a swap between two
    tokens takes effect at the next. `reads` is the layer whose residuals are kept for reading.
    """

    now: Callable[[int], Applied]
    reads: int | None = None
    calls: list[Applied] = field(default_factory=list)
    _position: int = 0
    _seen: list[tuple[_Call, Tensor]] = field(default_factory=list)
    _written: list[tuple[_Call, Applied, Written]] = field(default_factory=list)

    def place(self, roles: Sequence[Role]) -> Taps:
        """The taps of a call over tokens of these roles; none where nothing is content."""
        force = self.now(len(self.calls))
        self.calls.append(force)
        content = [role in CONTENT for role in roles]
        start, self._position = self._position, self._position + len(roles)
        if not any(content):
            return {}
        mask = None if all(content) else torch.tensor(content)[None, :, None].float()
        call = _Call(start=start, mask=mask)
        taps: dict[int, tuple[Tap, ...]] = {}
        if self.reads is not None:
            taps[self.reads] = (self._reading(call),)
        if force.state is not None and force.layer is not None:
            pushes = self._pushing(call, force, force.state)
            taps[force.layer] = (*taps.get(force.layer, ()), pushes)
        return taps

    def _reading(self, call: _Call) -> Tap:
        def tap(h: Tensor) -> None:
            self._seen.append((call, h))

        return tap

    def _pushing(self, call: _Call, force: Applied, state: "State") -> Tap:
        def keep(h: Tensor, written: Written) -> None:
            self._written.append((call, force, written))

        mask = None if call.mask is None else call.mask.to(state.rows.device)
        return pushing(state, mask, keep)

    def runs(self) -> list[tuple[int, Applied]]:
        """What was in force from which call on."""
        found: list[tuple[int, Applied]] = []
        for number, force in enumerate(self.calls):
            if not found or found[-1][1] is not force:
                found.append((number, force))
        return found

    def stretches(self) -> list[Stretch]:
        """What each state did on the turn's content tokens, in the order they came."""
        groups: list[list[tuple[_Call, Applied, Written]]] = []
        for each in self._written:
            if groups and groups[-1][-1][1] is each[1]:
                groups[-1].append(each)
            else:
                groups.append([each])
        return [_stretch(group) for group in groups]

    def latest(self) -> Heard:
        """The content token that was heard last, alone; nothing before the first."""
        residuals = torch.zeros(0, 0)
        places: tuple[int, ...] = ()
        if self._seen:
            call, h = self._seen[-1]
            flat = h.reshape(-1, h.shape[-1])
            last = int(_kept(call, len(flat))[-1])
            residuals, places = flat[last : last + 1].float(), (call.start + last,)
        written = self._written[-1:]
        return Heard(
            residuals=residuals, places=places, stretches=(_stretch(written),) if written else ()
        )

    def heard(self) -> Heard:
        """Everything kept, as one table; what is not content is let go."""
        rows, places = [], []
        for call, h in self._seen:
            flat = h.reshape(-1, h.shape[-1])
            kept = _kept(call, len(flat))
            rows.append(flat[kept.to(flat.device)].float())
            places += (kept + call.start).tolist()
        residuals = torch.cat(rows) if rows else torch.zeros(0, 0)
        stretches = tuple(self.stretches())
        return Heard(residuals=residuals, places=tuple(places), stretches=stretches)


def _stretch(group: Sequence[tuple[_Call, Applied, Written]]) -> Stretch:
    state = group[0][1].state
    assert state is not None
    places: list[int] = []
    for call, _, written in group:
        places += (_kept(call, written.delta.shape[-2]) + call.start).tolist()
    trace = traced(state, [(written, call.mask) for call, _, written in group])
    return Stretch(places=tuple(places), trace=trace)


def _kept(call: _Call, length: int) -> Tensor:
    return torch.arange(length) if call.mask is None else call.mask.reshape(-1).nonzero()[:, 0]


def push_records(stretches: Sequence[Stretch]) -> tuple[PushRecord, ...]:
    """The records of all states of a turn, largest share first."""
    found = [record for stretch in stretches for record in records(stretch.trace)]
    return tuple(sorted(found, key=lambda record: -record.share))


def totals(stretches: Sequence[Stretch]) -> tuple[float, float]:
    """The mean length of the delta as a fraction of ‖h‖, and the least factor the budget left."""
    traces = [stretch.trace for stretch in stretches]
    if not traces:
        return 0.0, 1.0
    least = min(float(trace.scale.min()) for trace in traces)
    return round(float(torch.cat([t.length for t in traces]).mean()), 6), round(least, 6)

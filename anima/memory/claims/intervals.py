"""How long each line holds, and what was merged into it; knows no ledger and what no line says.

A line holds from its own time until a closing ends it. A closing counts only while the line that
brought it about counts: where that one is forgotten, whatever had closed *it* takes its place in
the slots they share, and where nothing had, the older line holds again. Source: the bi-temporal
edges of Graphiti, where a fact is closed and never deleted.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from anima.memory.line import CLOSE, LINE, MERGE, Line

Slot = tuple[str, str]
"""A subject and an attribute, both as `slots` writes them."""


@dataclass(frozen=True, kw_only=True)
class Closing:
    """One closing: which line, from when in unix seconds, by which line (0: by none), what of it."""

    seq: int
    target: int
    when: float
    by: int
    slots: frozenset[Slot]
    whole: bool


@dataclass(kw_only=True)
class Intervals:
    """Follows closings and merges; tell it of every record that comes into force or leaves it."""

    _closings: dict[int, Closing] = field(default_factory=dict)
    _closings_of: dict[int, list[int]] = field(default_factory=dict)
    _merges: dict[int, int] = field(default_factory=dict)
    _merges_of: dict[int, list[int]] = field(default_factory=dict)
    _gone: set[int] = field(default_factory=set)

    def add(self, record: Line) -> None:
        """A record came into force: a closing or a merge; of a line, that it counts again."""
        if record.kind == LINE:
            self._gone.discard(record.seq)
        elif record.kind == CLOSE and record.seq not in self._closings:
            closing = _closing(record)
            self._closings[closing.seq] = closing
            self._closings_of.setdefault(closing.target, []).append(closing.seq)
        elif record.kind == MERGE and record.seq not in self._merges:
            self._merges[record.seq] = record.header.target
            self._merges_of.setdefault(record.header.target, []).append(record.seq)

    def drop(self, seq: int) -> None:
        """A record is no longer in force; one that was never added may be dropped as well."""
        closing = self._closings.pop(seq, None)
        if closing is not None:
            self._closings_of[closing.target].remove(seq)
            return
        target = self._merges.pop(seq, None)
        if target is not None:
            self._merges_of[target].remove(seq)
            return
        self._gone.add(seq)

    def clear(self) -> None:
        """Everything is read again from the ledger."""
        for each in (self._closings, self._closings_of, self._merges, self._merges_of):
            each.clear()
        self._gone.clear()

    def closed_at(self, seq: int) -> float:
        """Unix seconds from which nothing of a line holds, `math.inf` while something does."""
        return min((each.when for each in self._effective(seq) if each.whole), default=math.inf)

    def slots_closed(self, seq: int, when: float = math.inf) -> frozenset[Slot]:
        """The slots of a line that were closed by then, of one that holds in part or no longer."""
        closed = [each.slots for each in self._effective(seq) if each.when <= when]
        return frozenset[Slot]().union(*closed)

    def slot_closed_at(self, seq: int, slot: Slot) -> float:
        """Unix seconds from which one claim of a line no longer holds, `math.inf` while it does."""
        return min(
            (each.when for each in self._effective(seq) if each.whole or slot in each.slots),
            default=math.inf,
        )

    def replaced_by(self, seq: int, when: float = math.inf) -> Sequence[int]:
        """The lines that had closed all or part of a line by then, oldest first."""
        found = {each.by for each in self._effective(seq) if each.when <= when and each.by}
        return sorted(found)

    def merged_into(self, seq: int) -> Sequence[int]:
        """The records of merges into a line, oldest first."""
        return sorted(self._merges_of.get(seq, ()))

    def _effective(self, seq: int) -> Iterator[Closing]:
        """The closings of a line that count, each with the line that stands behind it now."""
        if not self._closings_of.get(seq):
            return
        waiting = [self._closings[each] for each in self._closings_of[seq]]
        seen: set[tuple[int, int]] = set()
        while waiting:
            closing = waiting.pop()
            if closing.by not in self._gone:
                yield closing
                continue
            for each in self._closings_of.get(closing.by, ()):
                heir = self._closings[each]
                slots = heir.slots & closing.slots
                # Two lines whose order was settled both ways must not send this round in circles.
                shared = slots or (heir.whole and not closing.slots)
                if shared and heir.by != seq and (heir.seq, closing.seq) not in seen:
                    seen.add((heir.seq, closing.seq))
                    waiting.append(
                        Closing(
                            seq=closing.seq,
                            target=seq,
                            when=heir.when,
                            by=heir.by,
                            slots=slots,
                            whole=closing.whole and slots == closing.slots,
                        )
                    )


def _closing(record: Line) -> Closing:
    """A closing as its record says it; what another program wrote amiss closes nothing."""
    context = record.context
    by, slots = context.get("by"), context.get("slots")
    return Closing(
        seq=record.seq,
        target=record.header.target,
        when=record.timestamp.timestamp(),
        by=by if isinstance(by, int) else 0,
        slots=frozenset(
            (str(each[0]), str(each[1]))
            for each in (slots if isinstance(slots, list) else ())
            if isinstance(each, list) and len(each) == 2
        ),
        whole=context.get("whole") is True,
    )

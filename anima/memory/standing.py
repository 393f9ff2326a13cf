"""What of a ledger counts now, and what finds it; knows nothing of how lines are kept."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from anima.memory.arguments import Widths
from anima.memory.claims.intervals import Intervals
from anima.memory.history import History
from anima.memory.line import SHORT, Line
from anima.memory.ranking.recall import Recall

if TYPE_CHECKING:
    from anima.memory.claims.known import Known, Reading


@dataclass(kw_only=True)
class Standing:
    """Follows every line that is read or written, and keeps `recall` told of what is in force.

    `read` gives a line again by its number, for those that a rewind brings back. `known` is None
    until somebody asks what lines claim; `ahead` are readings that were made before that, of the
    lines in force up to `read_to`.
    """

    recall: Recall
    read: Callable[[int], Line]
    history: History = field(default_factory=History)
    intervals: Intervals = field(default_factory=Intervals)
    known: "Known | None" = None
    ahead: "dict[int, Reading]" = field(default_factory=dict)
    read_to: int = 0
    widths: Widths = field(default_factory=Widths)
    _by_anchor: dict[str, int] = field(default_factory=dict)
    _told: set[int] = field(default_factory=set)

    def take_in(self, lines: Iterable[Line]) -> None:
        """Let the next lines count, one after the other, with all that they change."""
        for line in lines:
            self._by_anchor[line.short] = line.seq
            if line.content is not None:
                self.widths = self.widths.after(line.content)
            self._tell(self.history.add(line.kind, line.header.target), line)

    def by_anchor(self, anchor: str) -> int | None:
        """The number of the line with this anchor, going by the part of it that is shown."""
        return self._by_anchor.get(anchor[:SHORT])

    def _tell(self, touched: set[int], newest: Line) -> None:
        """Tell the recall which of these records came into force or left it."""
        at_hand: Mapping[int, Line] = {newest.seq: newest}
        for seq in sorted(touched):
            counts = self.history.in_force(seq)
            if counts and seq not in self._told:
                self._told.add(seq)
                line = at_hand.get(seq) or self.read(seq)
                self.intervals.add(line)
                if self.known is not None:
                    self.known.add(line)
                self.recall.add(line)
            elif not counts and seq in self._told:
                self._told.discard(seq)
                self.intervals.drop(seq)
                self.ahead.pop(seq, None)
                if self.known is not None:
                    self.known.drop(seq)
                self.recall.drop(seq)

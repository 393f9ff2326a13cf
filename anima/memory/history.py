"""Which lines are in force after any sequence of records; knows nothing of what lines say.

The records form a tree, as commits do in git: every record follows the one that was on top, and a
rewind only puts another one on top. What is in force is what lies on the path from the top to the
root, less what a forget or a pop on that path hides. So a rewind undoes everything after its
target, pops, forgets and earlier rewinds as well, and can itself be undone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from anima.memory.line import CLOSE, ERASE, FORGET, LINE, MERGE, POP, RACE, REWIND

_POPPED = frozenset({LINE, CLOSE, MERGE, RACE})


@dataclass(kw_only=True)
class History:
    """Grows by `add`; number 0 is the empty memory. Every step is a loop, however long."""

    _parents: list[int] = field(default_factory=lambda: [0])
    _tops: list[int] = field(default_factory=lambda: [0])
    _kinds: list[str] = field(default_factory=lambda: [""])
    _targets: list[int] = field(default_factory=lambda: [0])
    _on_path: bytearray = field(default_factory=lambda: bytearray(b"\x01"))
    _hidden: dict[int, int] = field(default_factory=dict)
    _erased: set[int] = field(default_factory=set)

    @property
    def count(self) -> int:
        return len(self._parents) - 1

    @property
    def top(self) -> int:
        """The record that the next one follows."""
        return self._tops[-1]

    def kind(self, seq: int) -> str:
        return self._kinds[seq]

    def in_force(self, seq: int) -> bool:
        """Whether a record counts now: on the path, not hidden, not erased."""
        return bool(self._on_path[seq]) and not self._hidden.get(seq) and seq not in self._erased

    def about(self, target: int, kind: str) -> list[int]:
        """The records of a kind about a line that still have their content, in force or not."""
        return [
            seq
            for seq, each in enumerate(self._targets)
            if each == target and self._kinds[seq] == kind and seq not in self._erased
        ]

    def newest(self) -> Iterator[int]:
        """The lines in force, newest first."""
        at = self.top
        while at:
            if self._kinds[at] == LINE and self.in_force(at):
                yield at
            at = self._parents[at]

    def add(self, kind: str, target: int) -> set[int]:
        """Take the next record in; returns the numbers of all records it may have touched."""
        seq, before = len(self._parents), self.top
        self._kinds.append(kind)
        self._targets.append(target)
        self._parents.append(before)
        self._on_path.append(0)
        # A damaged target was refused by the chain; one out of range can only be a foreign record.
        after = self._tops[target] if kind == REWIND and 0 <= target < seq else seq
        self._tops.append(after)
        return self._move(before, after)

    def _move(self, before: int, after: int) -> set[int]:
        touched: set[int] = set()
        entering: list[int] = []
        while before != after:
            if before > after:
                touched |= self._step(before, enters=False)
                before = self._parents[before]
            else:
                entering.append(after)
                after = self._parents[after]
        for seq in reversed(entering):
            touched |= self._step(seq, enters=True)
        return touched

    def _step(self, seq: int, *, enters: bool) -> set[int]:
        """Let one record enter or leave the path, with what it hides."""
        self._on_path[seq] = enters
        kind, target = self._kinds[seq], self._targets[seq]
        if kind == ERASE:
            self._erased.add(target)
            return {seq, target}
        hidden = {target} if kind == FORGET else self._popped(seq) if kind == POP else set()
        for each in hidden:
            self._hidden[each] = self._hidden.get(each, 0) + (1 if enters else -1)
        return {seq, *hidden}

    def _popped(self, seq: int) -> set[int]:
        """What a pop took: the lines before it on its path, down to its target, with their traces."""
        found, at = set(), self._parents[seq]
        while at and at >= self._targets[seq]:
            if self._kinds[at] in _POPPED:
                found.add(at)
            at = self._parents[at]
        return found

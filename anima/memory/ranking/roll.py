"""Which lines there are for a question, when each was said and what it was said to; ranks nothing.

One number of each kind per line, in arrays by the number of the line, so that a question about a
hundred thousand lines costs a few passes over arrays and no loop.
"""

import math
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anima.memory.claims.intervals import Intervals
from anima.memory.line import CLOSE, LINE, Line, speaker

_FIRST = 64
_USER: Final = "user"
_ENDS_ASKING: Final = re.compile(r"\?\W*$")
_LONGEST: Final = 240  # characters of a question: a longer text tells more than it asks

SOON: Final = 600.0
"""Seconds within which what is said to a question is a reply to it."""


@dataclass(kw_only=True)
class Roll:
    """Follows what comes into force and leaves it; told of every record, as a recall is.

    `times` are in unix seconds, `novelties` as of the writing, `by_user` is who said it, `asks`
    whether it is a question, each `[count + 1]` by number.
    """

    intervals: Intervals = field(default_factory=Intervals)
    times: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_FIRST))
    novelties: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_FIRST))
    by_user: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(_FIRST, np.bool_))
    asks: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(_FIRST, np.bool_))
    _speakers: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_FIRST, np.int64))
    _replies: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    _alive: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(_FIRST, np.bool_))
    _closed: NDArray[np.float64] = field(default_factory=lambda: np.full(_FIRST, math.inf))
    _size: int = 1
    _targets: dict[int, int] = field(default_factory=dict)
    _unsure: set[int] = field(default_factory=set)
    _left: set[int] = field(default_factory=set)

    def add(self, line: Line) -> None:
        self.intervals.add(line)
        self._make_room(line.seq)
        if line.kind == CLOSE:
            self._targets[line.seq] = line.header.target
            self._doubt(line.header.target)
        if line.kind != LINE:
            return
        if line.seq in self._left:
            self._left.discard(line.seq)
            self._doubt_all()
        self._alive[line.seq] = True
        self.times[line.seq] = line.timestamp.timestamp()
        self.by_user[line.seq] = line.role == _USER
        self.asks[line.seq] = asks(line.text)
        self._speakers[line.seq] = _number(speaker(line.role, line.text))
        self._replies = None
        self.novelties[line.seq] = 0.0 if line.novelty is None else line.novelty

    def drop(self, seq: int) -> None:
        self.intervals.drop(seq)
        if seq < self._size:
            self._alive[seq] = False
            self._replies = None
        self._left.add(seq)
        self._doubt_all()
        self._targets.pop(seq, None)

    def clear(self) -> None:
        self.intervals.clear()
        self._targets.clear()
        self._unsure.clear()
        self._left.clear()
        self._alive[:], self._closed[:], self._size = False, math.inf, 1
        self._replies = None

    def counts(
        self, as_of: datetime | None, without: Collection[int] = (), *, closed: bool = False
    ) -> NDArray[np.bool_]:
        """Which lines there are, `[count + 1]` by number: in force, said by then, and still so.

        With `closed`, those that hold no longer are there as well.
        """
        there = self._counting(as_of, closed=closed)
        there[[seq for seq in without if seq < self._size]] = False
        return there

    def _counting(self, as_of: datetime | None, *, closed: bool) -> NDArray[np.bool_]:
        self._settle()
        when = math.inf if as_of is None else as_of.timestamp()
        there: NDArray[np.bool_] = self._alive[: self._size] & (self.times[: self._size] <= when)
        if closed:
            return there
        ends = self._closed[: self._size]
        return there & (np.isinf(ends) if as_of is None else ends > when)

    def replies(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The lines that reply to somebody else's question right before them, and those questions, `[n]`.

        Another line between, of those that are in force, or more than `SOON` seconds, and it is none.
        """
        if self._replies is None:
            self._replies = self._paired()
        return self._replies

    def _paired(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        alive = np.flatnonzero(self._alive[: self._size])
        before, after = alive[:-1], alive[1:]
        waited = self.times[after] - self.times[before]
        others = self._speakers[before] != self._speakers[after]
        found = self.asks[before] & others & (waited >= 0.0) & (waited <= SOON)
        return after[found], before[found]

    def newest_first(
        self, ranked: Iterable[int], there: NDArray[np.bool_], as_of: datetime | None
    ) -> Iterator[int]:
        """The lines as ranked, but none above one that had replaced a part of it by then."""
        when = math.inf if as_of is None else as_of.timestamp()
        given: set[int] = set()
        for seq in ranked:
            waiting = [seq]
            while waiting:
                on_top = waiting[-1]
                if on_top in given:
                    waiting.pop()
                    continue
                newer = [
                    each
                    for each in self.intervals.replaced_by(on_top, when)
                    if each not in given and each not in waiting and self._is(each, there)
                ]
                if newer:
                    waiting.append(newer[-1])
                    continue
                given.add(waiting.pop())
                yield on_top

    def _is(self, seq: int, there: NDArray[np.bool_]) -> bool:
        return 0 < seq < there.size and bool(there[seq])

    def _doubt(self, target: int) -> None:
        # A closing of a line that is gone passes to what that one had closed.
        if 0 < target < self._size and self._alive[target]:
            self._unsure.add(target)
        else:
            self._doubt_all()

    def _doubt_all(self) -> None:
        if self._targets:
            self._unsure.update(self._targets.values())

    def _settle(self) -> None:
        for target in self._unsure:
            if 0 < target < self._size:
                self._closed[target] = self.intervals.closed_at(target)
        self._unsure.clear()

    def _make_room(self, seq: int) -> None:
        self._size = max(self._size, seq + 1)
        if self._size <= self.times.size:
            return
        more = max(self._size, 2 * self.times.size) - self.times.size
        self.times = np.concatenate([self.times, np.zeros(more)])
        self.novelties = np.concatenate([self.novelties, np.zeros(more)])
        self.by_user = np.concatenate([self.by_user, np.zeros(more, np.bool_)])
        self.asks = np.concatenate([self.asks, np.zeros(more, np.bool_)])
        self._speakers = np.concatenate([self._speakers, np.zeros(more, np.int64)])
        self._alive = np.concatenate([self._alive, np.zeros(more, np.bool_)])
        self._closed = np.concatenate([self._closed, np.full(more, math.inf)])


def asks(text: str) -> bool:
    """Whether a text is short and ends in a question."""
    return len(text) <= _LONGEST and _ENDS_ASKING.search(text) is not None


def _number(name: str) -> int:
    """A number that stands for a name, of which nothing is left here."""
    return int.from_bytes(
        blake2b(name.encode(errors="replace"), digest_size=8).digest(), signed=True
    )

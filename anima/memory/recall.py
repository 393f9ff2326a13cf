"""How lines are found: the protocol, and the exact search over key vectors; knows no ledger.

Whatever ranks lines implements `Recall`. A memory tells it of every record that comes into force
or leaves it, so that an index follows pops, rewinds and erasures without knowing of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from anima.errors import UsageError
from anima.memory import concert
from anima.memory.line import LINE, Line, Vector

_FIRST_ROWS = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """What is looked for, by text, by vector `[d]` or by both, as of when."""

    text: str | None = None
    vector: Vector | None = None
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Found:
    """One line that was found, with every term of its score by name."""

    seq: int
    score: float
    terms: Mapping[str, float]


class Recall(Protocol):
    """What finds lines. A memory calls it under its lock, so it needs none of its own."""

    def add(self, line: Line) -> None:
        """A record came into force: a line, or one of another kind such as a closing."""
        ...

    def drop(self, seq: int) -> None:
        """A record that was added is no longer in force, or was erased."""
        ...

    def clear(self) -> None:
        """Everything is read again from the ledger."""
        ...

    def novelty(self, key: Vector) -> float:
        """1 − the greatest similarity of a key to one in force, 1 where there is none."""
        ...

    def search(self, question: Question, k: int) -> Sequence[Found]:
        """The at most `k` best lines, best first; raises UsageError for what it cannot answer."""
        ...


class Encoder(Protocol):
    """Makes a key vector `[d]` of a text."""

    def __call__(self, text: str) -> Vector: ...


@dataclass(kw_only=True)
class ExactRecall:
    """Ranks by the cosine to every key, or by the seed's weights; equal scores: the newest first.

    One matrix product over unit keys `[n, d]`, so nothing is approximated. `ranking` "seed" is
    the weights of `concert` over the lines whose similarity reaches its floor.
    """

    ranking: Literal["cosine", "seed"] = "cosine"
    settings: concert.Concert = field(default_factory=concert.Concert)
    _units: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    _seqs: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    _times: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    _novelties: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    _alive: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    _rows: dict[int, int] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        if line.kind != LINE or line.key is None:
            return
        row = self._rows.get(line.seq)
        if row is not None:
            self._alive[row] = True
            return
        row = len(self._rows)
        self._make_room(row, line.key.size)
        self._rows[line.seq] = row
        self._units[row] = unit(line.key)
        self._seqs[row] = line.seq
        self._times[row] = line.timestamp.timestamp()
        self._novelties[row] = 0.0 if line.novelty is None else line.novelty
        self._alive[row] = True

    def drop(self, seq: int) -> None:
        row = self._rows.get(seq)
        if row is not None:
            self._alive[row] = False

    def clear(self) -> None:
        self._rows.clear()
        self._units = np.empty((0, 0), np.float32)
        self._seqs = np.empty(0, np.int64)
        self._times, self._novelties = np.empty(0), np.empty(0)
        self._alive = np.empty(0, np.bool_)

    def novelty(self, key: Vector) -> float:
        similarities = self._similarities(key)
        if similarities.size == 0:
            return 1.0
        return concert.novelty(float(similarities.max()))

    def search(self, question: Question, k: int) -> Sequence[Found]:
        if question.vector is None:
            raise UsageError(
                "A search by text needs an encoder, which this memory was opened without: give a "
                "vector, or open it with one."
            )
        similarities = self._similarities(question.vector)
        rows = np.flatnonzero(self._alive[: len(self._rows)])
        scores, terms = similarities, {"similarity": similarities}
        if self.ranking == "seed":
            kept = similarities >= self.settings.floor
            rows, similarities = rows[kept], similarities[kept]
            recency = concert.recency(
                question.now.timestamp() - self._times[rows], tau=self.settings.tau
            )
            novelties = self._novelties[rows]
            scores = self.settings.weigh(recency, similarities, novelties)
            terms = {"recency": recency, "similarity": similarities, "novelty": novelties}
        return [
            Found(
                seq=int(self._seqs[rows[at]]),
                score=float(scores[at]),
                terms={name: float(values[at]) for name, values in terms.items()},
            )
            for at in best(scores, self._seqs[rows], k)
        ]

    def _similarities(self, key: Vector) -> NDArray[np.float64]:
        """The cosine to every key that is alive, `[alive]`, in the order of the rows."""
        count = len(self._rows)
        if count and key.size != self._units.shape[1]:
            raise UsageError(
                f"The vector has {key.size} numbers and the keys of this memory "
                f"{self._units.shape[1]}: make it with the same encoder."
            )
        if not self._alive[:count].any():
            return np.empty(0)
        products = self._units[:count] @ unit(key)
        return np.clip(products[self._alive[:count]].astype(np.float64), -1.0, 1.0)

    def _make_room(self, row: int, width: int) -> None:
        if row < len(self._seqs):
            return
        rows = max(_FIRST_ROWS, 2 * len(self._seqs))
        units = np.zeros((rows, width), np.float32)
        if row:
            units[:row] = self._units[:row]
        self._units = units
        self._seqs = np.resize(self._seqs, rows)
        self._times, self._novelties = (
            np.resize(self._times, rows),
            np.resize(self._novelties, rows),
        )
        self._alive = np.concatenate([self._alive[:row], np.zeros(rows - row, np.bool_)])


def unit(vector: Vector) -> Vector:
    """The vector at length 1, computed in float64, so that no finite one overflows."""
    wide = vector.astype(np.float64)
    scaled: Vector = (wide / np.linalg.norm(wide)).astype(np.float32)
    return scaled


def best(scores: NDArray[np.float64], seqs: NDArray[np.int64], k: int) -> NDArray[np.intp]:
    """The positions of the `k` greatest scores, greatest first, the newer of two equal ones first."""
    if k >= scores.size:
        return np.lexsort((-seqs, -scores))
    # All that tie with the k-th are kept until the newer of them are known.
    least = np.partition(scores, scores.size - k)[scores.size - k]
    near = np.flatnonzero(scores >= least)
    return near[np.lexsort((-seqs[near], -scores[near]))][:k]

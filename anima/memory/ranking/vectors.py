"""An index of key vectors, exact and in memory; knows nothing of lines, times and words.

Whatever finds keys near a vector implements `VectorIndex`, so that another library can stand in for
the matrix here. It is always made anew from the ledger, never kept on disk.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from anima.errors import UsageError
from anima.memory.line import Vector

Numbers = NDArray[np.float64]
Seqs = NDArray[np.int64]

_FIRST_ROWS = 64


class Near(NamedTuple):
    """Lines and the cosine of each one's key to what was asked, both `[n]`, in no order."""

    seqs: Seqs
    similarities: Numbers

    @classmethod
    def none(cls) -> "Near":
        return cls(np.empty(0, np.int64), np.empty(0))


class VectorIndex(Protocol):
    """Keys `[d]` by the number of their line."""

    def __len__(self) -> int: ...

    def add(self, seq: int, key: Vector) -> None: ...

    def drop(self, seq: int) -> None:
        """Forget a key, so that nothing of it is left in the index; unknown numbers are passed over."""
        ...

    def clear(self) -> None: ...

    def near(self, vector: Vector, most: int | None = None) -> Near:
        """The cosines of at least the `most` nearest keys, of all where it is None.

        Raises UsageError for a vector of another width than the keys.
        """
        ...

    def similarities(self, vector: Vector, seqs: Seqs) -> Numbers:
        """The cosine to the key of each of these lines, NaN where a line has none."""
        ...

    def background(self, vector: Vector) -> float:
        """The mean cosine of a vector to every key, 0 where there is none."""
        ...

    def keys(self, seqs: Seqs) -> NDArray[np.float32]:
        """The keys of these lines at length 1 `[n, d]`, zeros where a line has none."""
        ...

    def density(self) -> float:
        """The mean cosine of two keys, 0 where there are fewer than three."""
        ...


@dataclass(kw_only=True)
class ExactIndex:
    """One matrix product over unit keys `[n, d]` in one block that grows by doubling."""

    _units: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    _seqs: Seqs = field(default_factory=lambda: np.empty(0, np.int64))
    _rows: dict[int, int] = field(default_factory=dict)
    _total: Numbers = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, seq: int, key: Vector) -> None:
        if seq in self._rows:
            return
        row = len(self._rows)
        self._make_room(row, key.size)
        self._rows[seq] = row
        self._units[row] = unit(key)
        self._seqs[row] = seq
        self._total += self._units[row]

    def drop(self, seq: int) -> None:
        row = self._rows.pop(seq, None)
        if row is None:
            return
        self._total -= self._units[row]
        # The last row moves into the gap: what was erased is overwritten, and no row is dead.
        last = len(self._rows)
        if row != last:
            self._units[row], self._seqs[row] = self._units[last], self._seqs[last]
            self._rows[int(self._seqs[row])] = row
        self._units[last] = 0.0

    def clear(self) -> None:
        self._rows.clear()
        self._units = np.empty((0, 0), np.float32)
        self._seqs, self._total = np.empty(0, np.int64), np.empty(0)

    def near(self, vector: Vector, most: int | None = None) -> Near:
        count = len(self._rows)
        if not count:
            return Near.none()
        require_width(vector, self._units.shape[1])
        products = (self._units[:count] @ unit(vector)).astype(np.float64)
        return Near(self._seqs[:count], np.clip(products, -1.0, 1.0))

    def similarities(self, vector: Vector, seqs: Seqs) -> Numbers:
        rows = np.fromiter((self._rows.get(seq, -1) for seq in seqs.tolist()), np.intp, seqs.size)
        found = np.full(seqs.size, np.nan)
        if self._rows:
            require_width(vector, self._units.shape[1])
            known = rows >= 0
            products = (self._units[rows[known]] @ unit(vector)).astype(np.float64)
            found[known] = np.clip(products, -1.0, 1.0)
        return found

    def background(self, vector: Vector) -> float:
        if not self._rows:
            return 0.0
        require_width(vector, self._total.size)
        return float(self._total @ unit(vector)) / len(self._rows)

    def keys(self, seqs: Seqs) -> NDArray[np.float32]:
        rows = np.fromiter((self._rows.get(seq, -1) for seq in seqs.tolist()), np.intp, seqs.size)
        found = np.zeros((seqs.size, self._units.shape[1]), np.float32)
        found[rows >= 0] = self._units[rows[rows >= 0]]
        return found

    def density(self) -> float:
        return mean_cosine(self._total, len(self._rows))

    def _make_room(self, row: int, width: int) -> None:
        if row < len(self._seqs):
            return
        rows = max(_FIRST_ROWS, 2 * row)
        units, seqs = np.zeros((rows, width), np.float32), np.zeros(rows, np.int64)
        if row:
            units[:row], seqs[:row] = self._units[:row], self._seqs[:row]
        else:
            self._total = np.zeros(width)
        self._units, self._seqs = units, seqs


def mean_cosine(total: Numbers, count: int) -> float:
    """The mean cosine of two of `count` unit vectors whose sum is `total`; 0 for fewer than three."""
    if count < 3:
        return 0.0
    return (float(total @ total) - count) / (count * (count - 1))


def require_width(vector: Vector, width: int) -> None:
    """Raise UsageError for a vector that cannot be compared with keys of this width."""
    if vector.size != width:
        raise UsageError(
            f"The vector has {vector.size} numbers and the keys of this memory {width}: make it "
            "with the same encoder."
        )


def unit(vector: Vector) -> Vector:
    """The vector at length 1, computed in float64, so that no finite one overflows."""
    wide = vector.astype(np.float64)
    scaled: Vector = (wide / math.sqrt(wide @ wide)).astype(np.float32)
    return scaled


def best(scores: Numbers, seqs: Seqs, k: int) -> NDArray[np.intp]:
    """The positions of the `k` greatest scores, greatest first, the newer of two equal ones first."""
    if k >= scores.size:
        return np.lexsort((-seqs, -scores))
    # All that tie with the k-th are kept until the newer of them are known.
    least = np.partition(scores, scores.size - k)[scores.size - k]
    near = np.flatnonzero(scores >= least)
    return near[np.lexsort((-seqs[near], -scores[near]))][:k]

"""FAISS as the index of key vectors, for who has it; knows nothing of lines, times and words.

`IndexFlatIP` compares with every key and finds what `ExactIndex` finds. `IndexHNSWFlat` walks a
graph, finds nearly that, and needs a `breadth` that was tried: `recall_of` tells what it misses.
Johnson, Douze and Jégou, arXiv 1702.08734; Malkov and Yashunin, arXiv 1603.09320.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from anima.errors import UsageError
from anima.memory.line import Vector
from anima.memory.ranking.vectors import (
    Near,
    Numbers,
    Seqs,
    VectorIndex,
    mean_cosine,
    require_width,
    unit,
)

_LINKS = 32
_PENDING = 1024
_DEAD = 0.5


class FaissIndex:
    """Keys in a FAISS index. Dropped ones are masked at once.

    They are gone from RAM with the next question; from a graph only when half of its keys are
    dropped, since making it anew takes minutes for a hundred thousand.
    """

    def __init__(
        self, kind: Literal["flat", "hnsw"] = "flat", *, breadth: int = 256, threads: int = 1
    ) -> None:
        self._faiss = _imported()
        self._faiss.omp_set_num_threads(threads)
        self._kind = kind
        self._breadth = breadth
        self._index: Any = None
        self._rows: dict[int, int] = {}
        self._seqs: list[int] = []
        self._pending: list[Vector] = []
        self._total: Numbers = np.zeros(0)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, seq: int, key: Vector) -> None:
        if seq in self._rows:
            return
        self._rows[seq] = len(self._seqs)
        self._seqs.append(seq)
        self._pending.append(unit(key))
        if not self._total.size:
            self._total = np.zeros(key.size)
        self._total += self._pending[-1]
        if len(self._pending) >= _PENDING:
            self._write()

    def drop(self, seq: int) -> None:
        if seq not in self._rows:
            return
        self._write()
        row = self._rows.pop(seq)
        self._total -= self._index.reconstruct(row)
        self._seqs[row] = 0

    def clear(self) -> None:
        self._index = None
        self._rows.clear()
        self._seqs.clear()
        self._pending.clear()
        self._total = np.zeros(0)

    def near(self, vector: Vector, most: int | None = None) -> Near:
        self._settle()
        if not self._rows:
            return Near.none()
        require_width(vector, self._index.d)
        dead = len(self._seqs) - len(self._rows)
        wanted = len(self._seqs) if most is None else min(len(self._seqs), most + dead)
        products, rows = self._index.search(unit(vector)[None], wanted)
        seqs = np.array(self._seqs, np.int64)[rows[0]]
        kept = (rows[0] >= 0) & (seqs > 0)
        return Near(seqs[kept], np.clip(products[0][kept].astype(np.float64), -1.0, 1.0))

    def similarities(self, vector: Vector, seqs: Seqs) -> Numbers:
        self._settle()
        found = np.full(seqs.size, np.nan)
        if not self._rows:
            return found
        require_width(vector, self._index.d)
        rows = np.fromiter((self._rows.get(seq, -1) for seq in seqs.tolist()), np.int64, seqs.size)
        known = rows >= 0
        if known.any():
            keys: NDArray[np.float32] = self._index.reconstruct_batch(rows[known])
            found[known] = np.clip((keys @ unit(vector)).astype(np.float64), -1.0, 1.0)
        return found

    def background(self, vector: Vector) -> float:
        if not self._rows:
            return 0.0
        require_width(vector, self._total.size)
        return float(self._total @ unit(vector)) / len(self._rows)

    def keys(self, seqs: Seqs) -> NDArray[np.float32]:
        self._settle()
        found = np.zeros((seqs.size, self._total.size), np.float32)
        rows = np.fromiter((self._rows.get(seq, -1) for seq in seqs.tolist()), np.int64, seqs.size)
        if (rows >= 0).any():
            found[rows >= 0] = self._index.reconstruct_batch(rows[rows >= 0])
        return found

    def density(self) -> float:
        return mean_cosine(self._total, len(self._rows))

    def _settle(self) -> None:
        """Let the index hold what it should, before it is asked."""
        self._write()
        alive = len(self._rows)
        most = len(self._seqs) if self._kind == "flat" else _DEAD * len(self._seqs)
        if alive < most:
            self._compact()

    def _write(self) -> None:
        if not self._pending:
            return
        keys = np.stack(self._pending)
        if self._index is None:
            self._index = self._made(keys.shape[1])
        self._index.add(keys)
        self._pending.clear()

    def _made(self, width: int) -> Any:
        if self._kind == "flat":
            return self._faiss.IndexFlatIP(width)
        index = self._faiss.IndexHNSWFlat(width, _LINKS, self._faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efSearch = self._breadth
        return index

    def _compact(self) -> None:
        """Make the index anew without the dropped keys, so that nothing of them is left."""
        seqs = list(self._rows)
        rows = np.fromiter(self._rows.values(), np.int64, len(seqs))
        keys = self._index.reconstruct_batch(rows) if seqs else None
        self.clear()
        if keys is None:
            return
        self._rows, self._seqs = {seq: row for row, seq in enumerate(seqs)}, seqs
        self._total = keys.sum(0, dtype=np.float64)
        self._index = self._made(keys.shape[1])
        self._index.add(keys)


def recall_of(index: VectorIndex, exact: VectorIndex, asked: Sequence[Vector], k: int = 5) -> float:
    """The share of the `k` nearest keys of the exact index that another one finds as well."""
    shares = []
    for vector in asked:
        wanted, found = _nearest(exact, vector, k), _nearest(index, vector, k)
        shares.append(len(wanted & found) / max(1, len(wanted)))
    return float(np.mean(shares)) if shares else 1.0


def _nearest(index: VectorIndex, vector: Vector, k: int) -> set[int]:
    near = index.near(vector, k)
    order = np.argsort(-near.similarities, kind="stable")[:k]
    return set(near.seqs[order].tolist())


def _imported() -> Any:
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise UsageError(
            "The index faiss needs the package 'faiss-cpu', which is not installed: "
            "pip install 'anima-runtime[memory]'."
        ) from error
    return faiss

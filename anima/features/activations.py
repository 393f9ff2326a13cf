"""Stored activations of one layer as rows to train on: their mean, their norm, batches in order.

Knows shards of float16 rows and a seed; nothing of the model that made them or of what is trained.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from anima.errors import UsageError

_CHUNK = 65_536


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Activations float16 `[n, d]` in memory, with their mean `[d]` and their mean norm."""

    h: Tensor
    mean: Tensor
    norm: float

    @classmethod
    def of(cls, shards: Sequence[np.ndarray]) -> "Rows":
        """All rows of the shards, in order; raises UsageError where there are none."""
        if not sum(len(shard) for shard in shards):
            raise UsageError("There are no activations to train on: harvest some first.")
        h = torch.cat([torch.from_numpy(np.array(shard)) for shard in shards])
        total = torch.zeros(h.shape[1], dtype=torch.float64)
        norms = 0.0
        for part in torch.split(h, _CHUNK):
            total += part.double().sum(0)
            norms += float(part.float().norm(dim=-1).double().sum())
        return cls(h=h, mean=(total / len(h)).float(), norm=norms / len(h))

    @property
    def scale(self) -> float:
        """The factor that brings the mean norm to √d, the field's convention."""
        return math.sqrt(self.h.shape[1]) / self.norm

    def batch(self, step: int, *, size: int, seed: int) -> Tensor:
        """Batch number `step` in float32, scaled: each epoch is a permutation of its own.

        Rows that do not fill a last batch wait for the next epoch's permutation.
        """
        per_epoch = max(1, len(self.h) // size)
        epoch, place = divmod(step, per_epoch)
        order = self._order(seed, epoch)[place * size : (place + 1) * size]
        return self.h[order].float() * self.scale

    def _order(self, seed: int, epoch: int) -> Tensor:
        kept: dict[tuple[int, int], Tensor] = self.__dict__.setdefault("_orders", {})
        if (seed, epoch) not in kept:
            kept.clear()
            generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
            kept[seed, epoch] = torch.randperm(len(self.h), generator=generator)
        return kept[seed, epoch]

"""The one interface of every execution of the frozen model; knows nothing of organs or of text.

Shapes: B rows, q new tokens of a call, T tokens in the cache after it, d the residual width,
L layers, H query heads, V vocabulary. Layers count from 0; the residual stream *of* a layer is
what leaves it, so layer L−1 is what the final norm reads.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

Tap = Callable[[Tensor], Tensor | None]
"""Reads the residual stream h `[B, q, d]` of one layer and returns a delta to add, or None.

A tap never writes into h. The delta is cast to h's dtype and added by the trunk.
"""

Taps = Mapping[int, Sequence[Tap]]
"""The taps in force, by layer; those of one layer run in order, each seeing h before any wrote."""

NO_TAPS: Taps = {}


@dataclass(frozen=True, kw_only=True)
class TrunkInfo:
    """What there is to know of a loaded model; `fingerprint` is a hash of its weights' bytes.

    `quantize` says in how many bits its linear layers are multiplied; "none" is `dtype` itself.
    """

    model: str
    fingerprint: str
    engine: str
    device: str
    dtype: str
    layers: int
    width: int
    heads: int
    key_value_heads: int
    vocabulary: int
    window: int
    quantize: str = "none"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one call showed.

    `logits` `[B, n, V]` in float32 at the positions asked for; `reads` the residual stream
    `[B, q, d]` of each layer asked for, before that layer's own taps wrote.
    """

    logits: Tensor
    reads: Mapping[int, Tensor] = field(default_factory=dict)


class Cache(Protocol):
    """Keys and values of the tokens seen so far, by row; rows may be padded on the left."""

    @property
    def length(self) -> int:
        """T, the number of positions held, padding included."""

    @property
    def rows(self) -> int: ...

    def crop(self, length: int) -> None:
        """Keep the first `length` positions; raises ModelError where the model cannot."""

    def fork(self, rows: Sequence[int]) -> "Cache":
        """A new cache whose row i is a copy of this one's row `rows[i]`."""


class Trunk(Protocol):
    """A frozen model that can be run, read, written to and put back as it was, bit for bit."""

    @property
    def info(self) -> TrunkInfo: ...

    def cache(self, rows: int = 1, *, padding: Sequence[int] | None = None) -> Cache:
        """An empty cache; `padding[r]` positions of row r, counted from the left, are ignored."""

    def forward(
        self,
        ids: Tensor,
        cache: Cache,
        *,
        taps: Taps = NO_TAPS,
        bias: Tensor | None = None,
        reads: Sequence[int] = (),
        logits_at: Literal["last", "all"] = "last",
    ) -> Step:
        """Run ids `[B, q]` after what the cache holds, and extend the cache by them.

        `bias` `[L, B or 1, H, q or 1, T]` is added to the attention scores before the softmax.
        """

    def lens(self, h: Tensor) -> Tensor:
        """Final norm and head applied to any layer's residual rows: `[n, d]` → logits `[n, V]`."""

    def differentiable(self) -> AbstractContextManager["Trunk"]:
        """This model in float32 with gradients to `bias` and taps; never through its weights."""

    def close(self) -> None:
        """Take every hook out of the model."""

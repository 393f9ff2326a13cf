"""What every execution that writes a Llama out shares: taps put on, calls checked; computes nothing."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

import torch
from torch import Tensor

from anima.errors import ModelError
from anima.trunk.fast_shape import Shape
from anima.trunk.interface import NO_TAPS, Cache, Tap, Taps, Trunk, TrunkInfo
from anima.trunk.taps import merged, without

_Held = TypeVar("_Held", bound=Cache)


class LlamaTrunk(Generic[_Held]):
    """A Llama of this shape; `reference` makes it in the reference execution, for gradients.

    `kind` is the cache of this execution.
    """

    kind: type[_Held]

    def __init__(self, shape: Shape, info: TrunkInfo, reference: Callable[[], Trunk]) -> None:
        self._shape = shape
        self._info = info
        self._reference = reference
        self._attached: Taps = NO_TAPS

    @property
    def info(self) -> TrunkInfo:
        return self._info

    def attach(self, layer: int, tap: Tap) -> Callable[[], None]:
        """Put a tap on a layer for every forward to come; the function returned takes it off."""
        self._check_layer(layer)
        self._attached = merged(self._attached, {layer: (tap,)})

        def detach() -> None:
            self._attached = without(self._attached, layer, tap)

        return detach

    def differentiable(self) -> AbstractContextManager[Trunk]:
        """This model in the reference execution, made for as long as this lasts."""
        return self._reference().differentiable()

    def close(self) -> None:
        """Take every tap off; there is no hook to take out."""
        self._attached = NO_TAPS

    def _asked(
        self, ids: Tensor, cache: Cache, taps: Taps, bias: Tensor | None, reads: Sequence[int]
    ) -> tuple[_Held, Taps]:
        """The cache of a call that fits, and all taps in force; raises ModelError for another."""
        for layer in (*taps, *reads):
            self._check_layer(layer)
        rows, q = ids.shape
        held = self._own(cache, rows)
        if bias is not None:
            self._check_bias(bias, held.length + q)
        return held, merged(self._attached, taps)

    def _own(self, cache: Cache, rows: int) -> _Held:
        if not isinstance(cache, self.kind):
            raise ModelError(f"A {type(cache).__name__} is not a cache of this execution's.")
        if cache.rows != rows:
            raise ModelError(f"A cache of {cache.rows} rows does not fit ids of {rows}.")
        return cache

    def _check_layer(self, layer: int) -> None:
        if not 0 <= layer < self._shape.layers:
            raise ModelError(
                f"Layer {layer} does not exist in {self._info.model}: "
                f"its layers are 0 to {self._shape.layers - 1}."
            )

    def _check_bias(self, bias: Tensor, total: int) -> None:
        layers, _, heads, _, keys = bias.shape
        if (layers, heads, keys) != (self._shape.layers, self._shape.heads, total):
            raise ModelError(
                f"An attention bias of shape {tuple(bias.shape)} does not fit: it must be "
                f"[{self._shape.layers}, rows, {self._shape.heads}, queries, {total}]."
            )


def void_of(padding: Sequence[int] | None) -> Tensor | None:
    """Padding `[B]` as a cache has it, None where no row has any."""
    return None if padding is None or not any(padding) else torch.tensor(list(padding))

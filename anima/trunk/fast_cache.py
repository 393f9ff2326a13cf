"""The fast execution's keys and values in one growing buffer; knows shapes, and no model."""

from collections.abc import Sequence

import torch
from torch import Tensor

from anima.errors import ModelError
from anima.trunk.fast_shape import Shape

_FIRST_CAPACITY = 256


class FastCache:
    """Keys and values of all layers, float32; `padding` `[B]` positions on the left are void.

    `buffer` `[L, 2, B, key-value heads, capacity, head width]` holds them, valid up to `length`;
    `void` is the padding with its zeros.
    """

    def __init__(self, shape: Shape, rows: int, padding: Tensor | None = None) -> None:
        self.padding = padding
        self.void = torch.zeros(rows, dtype=torch.long) if padding is None else padding
        self._held = 0
        self.buffer = torch.empty(
            shape.layers, 2, rows, shape.key_value_heads, _FIRST_CAPACITY, shape.head_width
        )

    @property
    def length(self) -> int:
        return self._held

    @property
    def rows(self) -> int:
        return self.buffer.shape[2]

    def room(self, tokens: int) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """By layer: where the keys and values of so many new tokens go, and all up to them.

        Views `[2, B, key-value heads, tokens, head width]` and the same over T; they hold until
        the next call. The tokens count as held only after `extend`.
        """
        end = self._held + tokens
        if end > self.buffer.shape[-2]:
            self._grow(max(end, 2 * self.buffer.shape[-2]))
        new = self.buffer[..., self._held : end, :].unbind(0)
        return new, self.buffer[..., :end, :].unbind(0)

    def extend(self, tokens: int) -> None:
        """Count the tokens that `room` was made for as held."""
        self._held += tokens

    def crop(self, length: int) -> None:
        """Keep the first `length` positions; ModelError for more than there are."""
        if not 0 <= length <= self._held:
            raise ModelError(f"A cache of {self._held} positions cannot be cropped to {length}.")
        self._held = length

    def fork(self, rows: Sequence[int]) -> "FastCache":
        """A new cache whose row i copies row `rows[i]` of this one."""
        index = torch.tensor(list(rows), dtype=torch.long)
        other = FastCache.__new__(FastCache)
        other._held = self._held
        other.buffer = self.buffer[:, :, index]
        other.padding = None if self.padding is None else self.padding[index]
        other.void = self.void[index]
        return other

    def _grow(self, capacity: int) -> None:
        old = self.buffer
        self.buffer = old.new_empty((*old.shape[:-2], capacity, old.shape[-1]))
        self.buffer[..., : self._held, :] = old[..., : self._held, :]

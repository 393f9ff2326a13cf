"""Keys and values at fixed addresses, lent to caches and lent again; knows shapes, and no model."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from anima.errors import ModelError
from anima.trunk.fast_shape import Shape, rotations

_FIRST_CAPACITY = 256
_KEPT_FREE = 2


class Arena:
    """Every tensor that the decoding of `rows` rows reads or writes, at an address that stays.

    A captured graph knows addresses only, so what changes from token to token is written into
    these. K key-value heads of width D, g query heads to each, C = `capacity` positions:

        keys_values [L, 2, B, K, C, D]   zeros beyond what is held: a masked NaN would still be one
        ids [B, 1], position [1]         the token to come, and where it goes
        padding [B]                      positions on the left of each row that are void
        entering, leaving [B, d]         the residual stream before and after a piece of layers
        rotation [B, 1, D, D], mask [B, 1, 1, C], logits [B, V] float32
        bias [L, B, K, g, C]             made when the first bias comes
    """

    def __init__(
        self, shape: Shape, rows: int, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        def room(*size: int, kind: torch.dtype = dtype) -> Tensor:
            return torch.zeros(size, device=device, dtype=kind)

        keys, width = shape.key_value_heads, shape.head_width
        self.rows = rows
        self.capacity = capacity
        self.keys_values = room(shape.layers, 2, rows, keys, capacity, width)
        self.ids = room(rows, 1, kind=torch.long)
        self.position = room(1, kind=torch.long)
        self.padding = room(rows, kind=torch.long)
        self.entering = room(rows, shape.width)
        self.leaving = room(rows, shape.width)
        self.rotation = room(rows, 1, width, width)
        self.mask = room(rows, 1, 1, capacity)
        self.logits = room(rows, shape.vocabulary, kind=torch.float32)
        self.positions = torch.arange(capacity, device=device)
        turns = rotations(shape, capacity)
        self.cosine = torch.cat((turns.real, turns.real), 1).to(device)
        self.sine = torch.cat((turns.imag, turns.imag), 1).to(device)
        self._bias: Tensor | None = None
        self._bias_size = (shape.layers, rows, keys, shape.group, capacity)
        self.graphs: dict[Any, Any] = {}

    @property
    def bias(self) -> Tensor:
        if self._bias is None:
            self._bias = self.mask.new_zeros(self._bias_size)
        return self._bias

    def set_bias(self, bias: Tensor) -> None:
        """Take over a bias `[L, B or 1, H, 1, T]`; what an earlier one left beyond T is masked."""
        layers, _, keys, group, _ = self._bias_size
        total = bias.shape[-1]
        self.bias[..., :total].copy_(bias.reshape(layers, -1, keys, group, total))


class Arenas:
    """Lends arenas, and keeps the last few given back, with the graphs captured on them.

    A conversation or a batch after another finds its graphs ready instead of capturing anew.
    """

    def __init__(self, make: Callable[[int, int], Arena], retire: Callable[[], None]) -> None:
        self._make = make
        self._retire = retire
        self._free: list[Arena] = []

    def take(self, rows: int, needed: int) -> Arena:
        """One of so many rows and at least `needed` positions, to be used by one cache alone."""
        capacity = _FIRST_CAPACITY
        while capacity < needed:
            capacity *= 2
        fits = (a for a in self._free if (a.rows, a.capacity) == (rows, capacity))
        found = next(fits, None)
        if found is not None:
            self._free.remove(found)
            found.keys_values.zero_()
        if len(self._free) > _KEPT_FREE:
            # Graphs are let go here and not in `give`, which the collector of garbage may call
            # anywhere, even while another graph is being captured.
            self._retire()
            del self._free[:-_KEPT_FREE]
        return self._make(rows, capacity) if found is None else found

    def give(self, arena: Arena) -> None:
        self._free.append(arena)


class StaticCache:
    """What the static execution has seen, by row; `padding` `[B]` positions on the left are void."""

    def __init__(self, arenas: Arenas, rows: int, padding: Tensor | None = None) -> None:
        self.padding = padding
        self._arenas = arenas
        self._rows = rows
        self._held = 0
        self._arena: Arena | None = None
        self._return: Callable[[], object] = lambda: None

    @property
    def length(self) -> int:
        return self._held

    @property
    def rows(self) -> int:
        return self._rows

    def room(self, tokens: int) -> Arena:
        """The arena, with room for so many more; they count as held only after `extend`."""
        needed = self._held + tokens
        old = self._arena
        if old is not None and needed <= old.capacity:
            return old
        new = self._arenas.take(self._rows, needed)
        if old is not None:
            _kept(new, self._held).copy_(_kept(old, self._held))
        self._move_to(new)
        return new

    def extend(self, tokens: int) -> None:
        """Count the tokens that `room` was made for as held."""
        self._held += tokens

    def crop(self, length: int) -> None:
        """Keep the first `length` positions; ModelError for more than there are."""
        if not 0 <= length <= self._held:
            raise ModelError(f"A cache of {self._held} positions cannot be cropped to {length}.")
        if self._arena is not None:
            self._arena.keys_values[..., length : self._held, :].zero_()
        self._held = length

    def fork(self, rows: Sequence[int]) -> "StaticCache":
        """A new cache whose row i copies row `rows[i]` of this one."""
        index = torch.tensor(list(rows), dtype=torch.long)
        padding = None if self.padding is None else self.padding[index]
        other = StaticCache(self._arenas, len(index), padding)
        if self._arena is not None and self._held:
            chosen = _kept(self._arena, self._held).index_select(
                2, index.to(self._arena.ids.device)
            )
            _kept(other.room(self._held), self._held).copy_(chosen)
            other.extend(self._held)
        return other

    def _move_to(self, arena: Arena) -> None:
        self._return()
        if self.padding is None:
            arena.padding.zero_()
        else:
            arena.padding.copy_(self.padding)
        self._arena = arena
        back = weakref.finalize(self, self._arenas.give, arena)
        back.atexit = False
        self._return = back


def _kept(arena: Arena, length: int) -> Tensor:
    return arena.keys_values[..., :length, :]

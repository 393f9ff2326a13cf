"""The growing key/value cache of the reference execution; knows shapes, and no model's meaning."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer

from anima.errors import ModelError

_FIRST_CAPACITY = 256


class GrowingLayer(DynamicLayer):
    """Keys and values in buffers that double when full and are handed out as views.

    Equal to DynamicLayer to the bit, without its copy of everything for each new token. Its
    in-place writes have no gradient: the differentiable run uses DynamicLayer itself.
    """

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values `[B, H, q, D]`; returns views `[B, H, T, D]` of all held."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._key_buffer = _room(key_states, _FIRST_CAPACITY)
            self._value_buffer = _room(value_states, _FIRST_CAPACITY)
            self._held = 0
        end = self._held + key_states.shape[-2]
        if end > self._key_buffer.shape[-2]:
            self._key_buffer = _grown(self._key_buffer, self._held, end)
            self._value_buffer = _grown(self._value_buffer, self._held, end)
        self._key_buffer[..., self._held : end, :] = key_states
        self._value_buffer[..., self._held : end, :] = value_states
        return self._show(end)

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last `-tokens_to_remove` positions (the sign is the library's own)."""
        if self.is_initialized and tokens_to_remove:
            self._show(self._held - abs(tokens_to_remove))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows `indices` `[n]`, copied."""
        if not self.is_initialized:
            return
        self._key_buffer = self._key_buffer[indices]
        self._value_buffer = self._value_buffer[indices]
        self._show(self._held)

    def _show(self, length: int) -> tuple[Tensor, Tensor]:
        self._held = length
        self.keys = self._key_buffer[..., :length, :]
        self.values = self._value_buffer[..., :length, :]
        return self.keys, self.values


def _room(like: Tensor, capacity: int) -> Tensor:
    return like.new_empty((*like.shape[:-2], max(capacity, like.shape[-2]), like.shape[-1]))


def _grown(buffer: Tensor, held: int, needed: int) -> Tensor:
    larger = _room(buffer[..., :0, :], max(needed, 2 * buffer.shape[-2]))
    larger[..., :held, :] = buffer[..., :held, :]
    return larger


class ReferenceCache:
    """What a transformers model has seen, by row; `padding` `[B]` positions on the left are void."""

    def __init__(self, inner: DynamicCache, rows: int, padding: Tensor | None) -> None:
        self.inner = inner
        self.rows = rows
        self.padding = padding

    @property
    def length(self) -> int:
        return int(self.inner.get_seq_length())

    def crop(self, length: int) -> None:
        """Keep the first `length` positions; ModelError where a layer cannot give tokens back."""
        surplus = self.length - length
        if surplus < 0 or length < 0:
            raise ModelError(f"A cache of {self.length} positions cannot be cropped to {length}.")
        if surplus == 0:
            return
        if not all(getattr(layer, "is_croppable", False) for layer in self.inner.layers):
            raise ModelError("This model's cache cannot be cropped: it must be computed again.")
        self.inner.crop(-surplus)

    def fork(self, rows: Sequence[int]) -> "ReferenceCache":
        """A new cache whose row i copies row `rows[i]` of this one."""
        inner = copy.deepcopy(self.inner)
        index = torch.tensor(list(rows), dtype=torch.long)
        inner.batch_select_indices(index)
        padding = None if self.padding is None else self.padding[index.to(self.padding.device)]
        return ReferenceCache(inner, len(rows), padding)


def new_cache(config: PreTrainedConfig, *, differentiable: bool) -> DynamicCache:
    """The model's own kind of cache, with growing buffers wherever it is a plain one."""
    cache = DynamicCache(config=config)
    if differentiable:
        return cache
    cache.layers = [
        GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache

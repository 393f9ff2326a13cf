"""Runs the compiled decoding step on torch's tensors; knows shapes, and neither taps nor text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from anima.trunk.fast_cache import FastCache
from anima.trunk.fast_compiled import PHASES, step
from anima.trunk.fast_counters import counters
from anima.trunk.fast_crew import Crew, crew
from anima.trunk.fast_kernels import Blocks, Product
from anima.trunk.fast_shape import Shape
from anima.trunk.fast_weights import Weights
from anima.trunk.fast_work import Model, Past, Work, scratch_floats


class CompiledStep:
    """All layers of a packed model on a few tokens, layer by layer or many at once."""

    def __init__(self, weights: Weights, shape: Shape) -> None:
        head = _blocks(weights.head)
        parts = [
            [
                _blocks(part)
                for part in (each.queries_keys_values, each.attention_out, each.gate_up, each.down)
            ]
            for each in weights.layers
        ]
        self._weights = weights  # the addresses below are theirs
        self._shape = shape
        self._model = Model(
            layers=np.array([[part.address for part in row] for row in parts], np.int64),
            bits=parts[0][0].bits,
            norms=_norms(weights),
            head=head.address,
            head_bits=head.bits,
            head_blocks=head.blocks,
            inner=shape.inner,
            heads=shape.heads,
            key_heads=shape.key_value_heads,
            head_width=shape.head_width,
            epsilon=shape.epsilon,
        )
        self._no_bias = np.zeros((shape.layers, 1, shape.heads, 1, 0), np.float32)

    def begin(
        self, h: Tensor, cache: FastCache, turns: Tensor, *, bias: Tensor | None, apart: int
    ) -> "Run":
        """A call on h `[B·q, d]`, which is overwritten, layer by layer or many at once.

        `turns` `[B·q, D]`: (cos, sin) of each pair. Its logits are those of every `apart`-th
        token. The cache has room already.
        """
        tokens = len(h)
        shape = self._shape
        together = crew(torch.get_num_threads())
        past = Past(
            cache=cache.buffer.numpy(),
            held=cache.length,
            padding=cache.void.numpy(),
            bias=self._no_bias if bias is None else bias.contiguous().numpy(),
        )
        three = (shape.heads + 2 * shape.key_value_heads) * shape.head_width
        positions = cache.length + tokens // cache.rows
        room = scratch_floats(self._model, tokens, positions)
        wide = self._model.head_blocks * 16
        work = Work(
            h=h.numpy(),
            turns=turns.numpy(),
            qkv=np.empty((tokens, three), np.float32),
            mixed=np.empty((tokens, shape.heads * shape.head_width), np.float32),
            inner=np.empty((tokens, shape.inner), np.float32),
            logits=np.empty((tokens // apart, wide), np.float32),
            scratch=np.empty((together.threads, room), np.float32),
        )
        return Run(
            model=self._model, past=past, work=work, crew=together, layers=shape.layers,
            apart=apart, vocabulary=shape.vocabulary,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One forward call under way: what its layers work on is arranged once for all of them."""

    model: Model
    past: Past
    work: Work
    crew: Crew
    layers: int
    apart: int
    vocabulary: int

    def through(self, first: int, last: int) -> None:
        """Layers first … last − 1."""
        self._step(first, last, 0)

    def rest(self, first: int) -> Tensor:
        """All layers from `first` on; the logits `[B·q / apart, V]`."""
        self._step(first, self.layers, self.apart)
        return torch.from_numpy(self.work.logits)[:, : self.vocabulary]

    def _step(self, first: int, last: int, apart: int) -> None:
        counts = counters(PHASES * (last - first) + 1)
        self.crew(
            step, counts, self.crew.pieces, self.model, self.past, self.work, first, last, apart
        )


def _blocks(product: Product) -> Blocks:
    assert isinstance(product, Blocks)
    return product


def _norms(weights: Weights) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    rows: Sequence[Tensor] = [
        norm for layer in weights.layers for norm in (layer.attention_norm, layer.inner_norm)
    ]
    return torch.cat([*rows, weights.norm]).numpy()

"""The fast execution: a Llama on the CPU written out, behind the trunk interface.

Residual stream, norms, attention and logits are float32; the linear layers are what `Weights` made
of them: packed ones run through the compiled step, dense ones through torch. It knows layers and tensors, and neither text, tokens' meaning, nor who taps.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention, silu

from anima.trunk.fast_cache import FastCache
from anima.trunk.fast_kernels import Blocks
from anima.trunk.fast_shape import Shape, rotations
from anima.trunk.fast_weights import LayerWeights, Weights
from anima.trunk.interface import NO_TAPS, Cache, Step, Taps, Trunk, TrunkInfo
from anima.trunk.llama import LlamaTrunk, void_of
from anima.trunk.taps import moved, written

if TYPE_CHECKING:
    from anima.trunk.fast_step import CompiledStep


class FastTrunk(LlamaTrunk[FastCache]):
    """A Llama in as few and as large tensor operations as its equations allow.

    `reference` makes the same model in the reference execution, for runs with gradients.
    """

    kind = FastCache

    def __init__(
        self, weights: Weights, shape: Shape, info: TrunkInfo, *, reference: Callable[[], Trunk]
    ) -> None:
        super().__init__(shape, info, reference)
        self._weights = weights
        self._rotations = rotations(shape, min(shape.window, 1024))
        self._epsilon = torch.full((1, 1), shape.epsilon)
        self._share = 1 / shape.width
        self._steps = _steps(weights, shape)

    def cache(self, rows: int = 1, *, padding: Sequence[int] | None = None) -> FastCache:
        """An empty cache of `rows` rows; `padding[r]` positions on the left of row r are ignored."""
        return FastCache(self._shape, rows, void_of(padding))

    @torch.no_grad()
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
        """Run ids `[B, q]` after what the cache holds; see `Trunk.forward`."""
        held, taps = self._asked(ids, cache, taps, bias, reads)
        rows, q = ids.shape
        new, total = held.room(q)
        h = self._embedded(ids.reshape(-1))
        seen: dict[int, Tensor] = {}
        apart = 1 if logits_at == "all" else q
        if self._steps is not None:
            logits = self._stepped(self._steps, h, held, bias, apart, taps, reads, seen)
            held.extend(q)
            return Step(logits=logits.view(rows, -1, logits.shape[-1]), reads=seen)
        turn, visible = self._turn(held, q), _visible(held, q, bias)
        for index, layer_weights in enumerate(self._weights.layers):
            mask = _mask(visible, None if bias is None else bias[index], self._shape, q)
            h = self._layer(layer_weights, h, rows, turn, new[index], total[index], mask)
            if index in taps or index in reads:
                h = self._shown(h, index, rows, taps, reads, seen)
        held.extend(q)
        logits = self._logits(h[apart - 1 :: apart])
        return Step(logits=logits.view(rows, -1, logits.shape[-1]), reads=seen)

    @torch.no_grad()
    def lens(self, h: Tensor) -> Tensor:
        """Final norm and head on residual rows `[n, d]` → `[n, V]` in float32 (the logit lens)."""
        return self._logits(h.float())

    def _embedded(self, ids: Tensor) -> Tensor:
        """ids `[n]` → the first residual rows `[n, d]`, new in memory."""
        embedding = self._weights.embedding
        return embedding.rows_at(ids) if isinstance(embedding, Blocks) else embedding[ids]

    def _stepped(
        self,
        steps: "CompiledStep",
        h: Tensor,
        cache: FastCache,
        bias: Tensor | None,
        apart: int,
        taps: Taps,
        reads: Sequence[int],
        seen: dict[int, Tensor],
    ) -> Tensor:
        """All layers by the compiled step, which stops after each that somebody looks at."""
        rows = cache.rows
        q = len(h) // rows
        turn = self._turn(cache, q).expand(rows, q, 1, -1)
        turns = torch.view_as_real(turn).reshape(len(h), -1)
        if bias is not None:
            bias = bias.float()
        run = steps.begin(h, cache, turns, bias=bias, apart=apart)
        stream, first = h.view(rows, q, -1), 0
        for stop in sorted({*taps, *reads}):
            run.through(first, stop + 1)
            first = stop + 1
            # What they are shown stays as it is, while h goes on in the same place.
            shown = stream.clone()
            if stop in reads:
                seen[stop] = shown
            delta = moved(shown, taps.get(stop, ()))
            if delta is not None:
                stream += delta
        return run.rest(first)

    def _layer(
        self,
        weights: LayerWeights,
        h: Tensor,
        rows: int,
        turn: Tensor,
        new: Tensor,
        total: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        """One decoder layer on h `[B·q, d]`, which it overwrites and returns."""
        qkv = weights.queries_keys_values(self._normed(h, weights.attention_norm))
        mixed = self._attention(qkv, rows, turn, new, total, mask)
        h += weights.attention_out(mixed)
        both = weights.gate_up(self._normed(h, weights.inner_norm))
        gate, up = both.view(len(h), -1, 2, self._shape.turn).unbind(2)
        h += weights.down(silu(gate).mul_(up).view(len(h), -1))
        return h

    def _normed(self, h: Tensor, norm: Tensor) -> Tensor:
        """The root-mean-square norm written out: torch's own falls apart into more operations."""
        length = torch.linalg.vector_norm(h, dim=-1, keepdim=True)
        factor = torch.addcmul(self._epsilon, length, length, value=self._share).rsqrt_()
        return (h * norm).mul_(factor)

    def _attention(
        self, qkv: Tensor, rows: int, turn: Tensor, new: Tensor, total: Tensor, mask: Tensor | None
    ) -> Tensor:
        """Rotate, remember and mix: qkv `[B·q, (H + 2 K)·D]` → `[B·q, H·D]`.

        The query heads of one key head are rows of one product, so that keys are read once.
        """
        shape = self._shape
        q = len(qkv) // rows
        width, keys = shape.head_width, shape.key_value_heads
        rotated = qkv[:, : (shape.heads + keys) * width].view(rows, q, -1, width // 2, 2)
        torch.view_as_complex(rotated).mul_(turn)
        queries = qkv[:, : shape.heads * width].view(rows, q, keys, shape.group, width)
        remembered = qkv[:, shape.heads * width :].view(rows, q, 2, keys, width)
        new.copy_(remembered.permute(2, 0, 3, 1, 4))
        folded = queries.permute(0, 2, 3, 1, 4).reshape(rows, keys, shape.group * q, width)
        mixed = scaled_dot_product_attention(folded, total[0], total[1], attn_mask=mask)
        unfolded = mixed.view(rows, keys, shape.group, q, width).permute(0, 3, 1, 2, 4)
        return unfolded.reshape(rows * q, shape.heads * width)

    def _logits(self, h: Tensor) -> Tensor:
        return self._weights.head(self._normed(h, self._weights.norm))

    def _shown(
        self,
        h: Tensor,
        index: int,
        rows: int,
        taps: Taps,
        reads: Sequence[int],
        seen: dict[int, Tensor],
    ) -> Tensor:
        """Show a layer's residual to who asked; what they were shown is not written to again."""
        shown = h.view(rows, -1, h.shape[-1])
        if index in reads:
            seen[index] = shown
        moved = written(shown, taps.get(index, ()))
        return h.clone() if moved is None else moved.view(h.shape)

    def _turn(self, cache: FastCache, q: int) -> Tensor:
        """The rotations of q new positions, `[B or 1, q, 1, D/2]`."""
        start, end = cache.length, cache.length + q
        if end > len(self._rotations):
            self._rotations = rotations(self._shape, max(end, 2 * len(self._rotations)))
        if cache.padding is None:
            return self._rotations[None, start:end, None]
        positions = torch.arange(start, end) - cache.padding[:, None]
        return self._rotations[positions.clamp(min=0)][:, :, None]


def _steps(weights: Weights, shape: Shape) -> "CompiledStep | None":
    """The compiled step, where the weights are packed and heads divide into its vectors."""
    if not isinstance(weights.head, Blocks) or shape.head_width % 16:
        return None
    from anima.trunk.fast_step import CompiledStep

    return CompiledStep(weights, shape)


def _visible(cache: FastCache, q: int, bias: Tensor | None) -> Tensor | None:
    """0 where a query sees a key, else −∞, `[B or 1, 1, 1, q, T]`; None where one sees them all."""
    if q == 1 and cache.padding is None and bias is None:
        return None
    keys = torch.arange(cache.length + q)
    queries = keys[cache.length :, None]
    seen = (keys <= queries)[None]
    if cache.padding is not None:
        # A void position sees itself: a row of nothing but −∞ has no softmax.
        seen = seen & ((keys >= cache.padding[:, None, None]) | (keys == queries))
    return torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))[:, None, None]


def _mask(visible: Tensor | None, bias: Tensor | None, shape: Shape, q: int) -> Tensor | None:
    """What is added to the folded scores: `[B or 1, key-value heads or 1, group·q, T]`."""
    if visible is None:
        return None
    if bias is not None:
        grouped = bias.float().view(len(bias), -1, shape.group, *bias.shape[-2:])
        visible = visible + grouped
    rows, keys, _, _, total = visible.shape
    return visible.expand(rows, keys, shape.group, q, total).reshape(rows, keys, -1, total)

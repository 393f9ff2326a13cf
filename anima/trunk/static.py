"""The fast execution on a device: a Llama in one number type, decoded in pieces of fixed shape.

On CUDA each piece is a graph. Taps are any Python code, so a graph cannot hold them: it is cut at
the layers where somebody reads or writes now, and nowhere else. The host queues the pieces and
the taps between them far ahead of the device, which therefore never waits for Python; an active
tap costs its own few kernels and two copies of one row. Taps compiled in would save no more and
would cost every tap its freedom, and copies of all layers would be paid by those who read none.
It knows layers and tensors, and neither text, tokens' meaning, nor who taps.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

from anima.trunk.fast_shape import Shape
from anima.trunk.interface import NO_TAPS, Cache, Step, Taps, Trunk, TrunkInfo
from anima.trunk.llama import LlamaTrunk, void_of
from anima.trunk.static_cache import Arena, Arenas, StaticCache
from anima.trunk.static_graphs import Runner, runner_for
from anima.trunk.static_weights import StaticWeights
from anima.trunk.taps import written


class _Piece(NamedTuple):
    """Layers `start` to `stop` of one token's run; the last piece `closes` with norm and head."""

    start: int
    stop: int
    closes: bool
    biased: bool


@dataclass(frozen=True, kw_only=True)
class _Call:
    """What layers need of a run of q tokens: views of the arena up to T, and how to turn and mask.

    `turn` rotates `[B, q, heads, D]` by its positions, `mask(layer)` is added to the folded scores.
    """

    rows: int
    where: Tensor
    keys_values: Tensor
    turn: Callable[[Tensor], Tensor]
    mask: Callable[[int], Tensor]


class StaticTrunk(LlamaTrunk[StaticCache]):
    """A Llama whose decoding of one token has the same shapes and addresses for every token.

    `reference` makes the same model in the reference execution, for runs with gradients.
    """

    kind = StaticCache

    def __init__(
        self, weights: StaticWeights, shape: Shape, info: TrunkInfo, *,
        reference: Callable[[], Trunk], runner: Runner | None = None,
    ) -> None:  # fmt: skip
        super().__init__(shape, info, reference)
        self._weights = weights
        self._device, self._dtype = weights.embedding.device, weights.embedding.dtype
        self._run = runner or runner_for(self._device)
        self._arenas = Arenas(self._arena, self._run.synchronise)
        self._diagonal, self._swap = _rotation_parts(shape.head_width, self._device)
        self._head = _head(weights.head)

    @property
    def bytes_per_token(self) -> int:
        """Bytes of weights that one decoded token reads."""
        return self._weights.bytes_per_token

    def cache(self, rows: int = 1, *, padding: Sequence[int] | None = None) -> StaticCache:
        """An empty cache of `rows` rows; `padding[r]` positions on the left of row r are ignored."""
        return StaticCache(self._arenas, rows, void_of(padding))

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
        """Run ids `[B, q]` after what the cache holds; see `Trunk.forward`.

        One token goes through the pieces, more through the layers one by one: give a long prompt
        in chunks, as the mask of a call has g·q·T entries.
        """
        held, taps = self._asked(ids, cache, taps, bias, reads)
        q = ids.shape[1]
        arena = held.room(q)
        with _attention_kernels(self._device):
            if q == 1:
                step = self._decode(arena, ids, held.length, taps, bias, reads)
            else:
                step = self._prefill(arena, ids, held, taps, bias, reads, logits_at)
        held.extend(q)
        return step

    @torch.no_grad()
    def lens(self, h: Tensor) -> Tensor:
        """Final norm and head on residual rows `[n, d]` → `[n, V]` in float32 (the logit lens)."""
        return self._logits(h.to(device=self._device, dtype=self._dtype))

    def _decode(
        self,
        arena: Arena,
        ids: Tensor,
        position: int,
        taps: Taps,
        bias: Tensor | None,
        reads: Sequence[int],
    ) -> Step:
        # On CUDA waiting for the copy would be waiting for the token before, and the driver has
        # taken the few bytes when the call returns; MPS may still read them later.
        arena.ids.copy_(ids, non_blocking=self._device.type == "cuda")
        arena.position.fill_(position)
        if bias is not None:
            arena.set_bias(bias)
        seen: dict[int, Tensor] = {}
        start, biased = 0, bias is not None
        for layer in sorted({*(index for index in taps if taps[index]), *reads}):
            self._play(arena, _Piece(start, layer + 1, closes=False, biased=biased))
            # A copy: the arena's own is overwritten by the next token.
            h = arena.leaving.clone()[:, None]
            if layer in reads:
                seen[layer] = h
            moved = written(h, taps.get(layer, ()))
            arena.entering.copy_((h if moved is None else moved)[:, 0])
            start = layer + 1
        self._play(arena, _Piece(start, self._shape.layers, closes=True, biased=biased))
        return Step(logits=arena.logits.clone()[:, None], reads=seen)

    def _play(self, arena: Arena, piece: _Piece) -> None:
        self._run(arena.graphs, piece, partial(self._piece, arena, piece))

    def _piece(self, arena: Arena, piece: _Piece) -> None:
        """One piece on the arena's tensors; run again, it leaves what it left before."""
        if piece.start == 0:
            self._open(arena)
        call = _Call(
            rows=arena.rows,
            where=arena.position,
            keys_values=arena.keys_values,
            turn=partial(_matmul, arena.rotation),
            mask=partial(_decode_mask, arena, self._shape, piece.biased),
        )
        h = arena.entering.clone()
        for layer in range(piece.start, piece.stop):
            h = self._layer(layer, h, call)
        if piece.closes:
            arena.logits.copy_(self._logits(h))
        else:
            arena.leaving.copy_(h)

    def _open(self, arena: Arena) -> None:
        """What all layers of one token share: its embedding, its rotation, what it sees."""
        arena.entering.copy_(self._weights.embedding[arena.ids[:, 0]])
        turned = (arena.position - arena.padding).clamp(min=0)
        cosine, sine = arena.cosine[turned][:, None], arena.sine[turned][:, None]
        rotation = self._diagonal * cosine + self._swap * sine
        arena.rotation.copy_(rotation[:, None])
        seen = arena.positions <= arena.position
        # A void position sees itself: a row of nothing but −∞ has no softmax.
        full = arena.positions >= arena.padding[:, None]
        visible = seen & (full | (arena.positions == arena.position))
        arena.mask.zero_().masked_fill_(~visible[:, None, None], float("-inf"))

    def _prefill(
        self,
        arena: Arena,
        ids: Tensor,
        held: StaticCache,
        taps: Taps,
        bias: Tensor | None,
        reads: Sequence[int],
        logits_at: Literal["last", "all"],
    ) -> Step:
        rows, q = ids.shape
        total = held.length + q
        where = arena.positions[held.length : total]
        padding = None if held.padding is None else arena.padding
        turned = (where if padding is None else where - padding[:, None]).clamp(min=0)
        cosine, sine = arena.cosine[turned][..., None, :], arena.sine[turned][..., None, :]
        visible = _visible(arena.positions[:total], where, padding, self._dtype)
        group = self._shape.group
        shared = _folded(visible, group)
        call = _Call(
            rows=rows,
            where=where,
            keys_values=arena.keys_values[..., :total, :],
            turn=partial(_turned, cosine.to(self._dtype), sine.to(self._dtype)),
            mask=lambda layer: (
                shared if bias is None else _folded(_biased(visible, bias[layer], group), group)
            ),
        )
        seen: dict[int, Tensor] = {}
        h = self._weights.embedding[ids.to(self._device)].view(rows * q, -1)
        for layer in range(self._shape.layers):
            h = self._layer(layer, h, call)
            if layer in reads or taps.get(layer):
                shown = h.view(rows, q, -1)
                if layer in reads:
                    seen[layer] = shown
                moved = written(shown, taps.get(layer, ()))
                # What was shown is not written to again.
                h = h.clone() if moved is None else moved.view(h.shape)
        h = h.view(rows, q, -1)
        asked = h if logits_at == "all" else h[:, -1:]
        logits = self._logits(asked.reshape(-1, h.shape[-1]))
        return Step(logits=logits.view(rows, -1, logits.shape[-1]), reads=seen)

    def _layer(self, layer: int, h: Tensor, call: _Call) -> Tensor:
        """One decoder layer on h `[B·q, d]`, which it overwrites and returns."""
        weights, shape = self._weights.layers[layer], self._shape
        x = rms_norm(h, (shape.width,), weights.attention_norm, shape.epsilon)
        mixed = self._attention(layer, linear(x, weights.queries_keys_values), call)
        h.addmm_(mixed, weights.attention_out.t())
        x = rms_norm(h, (shape.width,), weights.inner_norm, shape.epsilon)
        gate, up = linear(x, weights.gate_up).chunk(2, -1)
        return h.addmm_(silu(gate).mul_(up), weights.down.t())

    def _attention(self, layer: int, qkv: Tensor, call: _Call) -> Tensor:
        """Rotate, remember and mix: qkv `[B·q, (H + 2 K)·D]` → `[B·q, H·D]`.

        The query heads of one key head are rows of one product, so that keys are read once.
        """
        shape, rows = self._shape, call.rows
        keys, width, group = shape.key_value_heads, shape.head_width, shape.group
        each = qkv.view(rows, -1, shape.heads + 2 * keys, width)
        q = each.shape[1]
        turned = call.turn(each[:, :, : shape.heads + keys])
        held_keys, held_values = call.keys_values[layer].unbind(0)
        held_keys[:, :, call.where] = turned[:, :, shape.heads :].transpose(1, 2)
        held_values[:, :, call.where] = each[:, :, shape.heads + keys :].transpose(1, 2)
        queries = turned[:, :, : shape.heads].reshape(rows, q, keys, group, width)
        folded = queries.permute(0, 2, 3, 1, 4).reshape(rows, keys, group * q, width)
        mixed = scaled_dot_product_attention(
            folded, held_keys, held_values, attn_mask=call.mask(layer)
        )
        unfolded = mixed.reshape(rows, keys, group, q, width).permute(0, 3, 1, 2, 4)
        return unfolded.reshape(rows * q, shape.heads * width)

    def _logits(self, h: Tensor) -> Tensor:
        normed = rms_norm(h, (self._shape.width,), self._weights.norm, self._shape.epsilon)
        return self._head(normed)

    def _arena(self, rows: int, capacity: int) -> Arena:
        return Arena(self._shape, rows, capacity, self._device, self._dtype)


def _rotation_parts(width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """What turns a row vector by matrix: x·(diagonal·cos + swap·sin), halves as Llama pairs them.

    As a matrix the rotation of one token is one kernel instead of five in every layer.
    """
    half = width // 2
    swap = torch.zeros(width, width)
    swap[half:, :half] = -torch.eye(half)
    swap[:half, half:] = torch.eye(half)
    return torch.eye(width).to(device), swap.to(device)


def _matmul(rotation: Tensor, x: Tensor) -> Tensor:
    return x @ rotation


def _turned(cosine: Tensor, sine: Tensor, x: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat((-second, first), -1) * sine


def _decode_mask(arena: Arena, shape: Shape, biased: bool, layer: int) -> Tensor:
    """`[B, K, g, C]`; expanded where all heads see the same, so that nothing is written."""
    if biased:
        return arena.bias[layer] + arena.mask
    return arena.mask.expand(-1, shape.key_value_heads, shape.group, -1)


def _visible(keys: Tensor, queries: Tensor, padding: Tensor | None, dtype: torch.dtype) -> Tensor:
    """0 where a query sees a key, else −∞, `[B or 1, 1, 1, q, T]`."""
    seen = (keys <= queries[:, None])[None]
    if padding is not None:
        # A void position sees itself: a row of nothing but −∞ has no softmax.
        seen = seen & ((keys >= padding[:, None, None]) | (keys == queries[:, None]))
    zeros = torch.zeros(seen.shape, device=keys.device, dtype=dtype)
    return zeros.masked_fill_(~seen, float("-inf"))[:, None, None]


def _biased(visible: Tensor, bias: Tensor, group: int) -> Tensor:
    """The mask with one layer's bias `[B or 1, H, q or 1, T]`: `[B or 1, K, g, q, T]`."""
    given = bias.to(device=visible.device, dtype=visible.dtype)
    return visible + given.reshape(len(given), -1, group, *given.shape[-2:])


def _folded(mask: Tensor, group: int) -> Tensor:
    """What is added to the folded scores: `[B or 1, K or 1, g·q, T]`."""
    rows, keys, _, q, total = mask.shape
    return mask.expand(rows, keys, group, q, total).reshape(rows, keys, -1, total)


def _head(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """`[n, d]` → logits `[n, V]` in float32, summed and kept in float32 where the device can.

    In bfloat16 the steps between logits of 16 to 32 are 1/8, larger than many a lead.
    """
    if weight.is_cuda and weight.dtype != torch.float32:
        wide = partial(_wide_product, weight.t())
        try:
            wide(weight[:1])
        except (RuntimeError, NotImplementedError):
            return partial(_rounded_product, weight)
        return wide
    return partial(_rounded_product, weight)


def _wide_product(weight: Tensor, x: Tensor) -> Tensor:
    return torch.mm(x, weight, out_dtype=torch.float32)


def _rounded_product(weight: Tensor, x: Tensor) -> Tensor:
    return linear(x, weight).float()


def _attention_kernels(device: torch.device) -> AbstractContextManager[None]:
    """On CUDA those that take a mask and need no plan made by the host, so that captures hold."""
    if device.type != "cuda":
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    kernels: AbstractContextManager[None] = sdpa_kernel(
        [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    )
    return kernels

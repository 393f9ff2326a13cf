"""A packed Llama's decoding step and products, compiled by numba; knows addresses, and no text.

Several threads run the same function on the same call: each phase's pieces are taken from a
counter, and a phase is over when all its pieces are done. A thread that comes late finds them
taken and passes on, so one that the system has put to sleep holds up no other. What is computed
does not depend on who computes it, nor on how many tokens are multiplied at once.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit, types

from anima.trunk.fast_vectors import (
    BLOCK_BYTES,
    GROUP,
    ROWS,
    add_one,
    block_product,
    dot,
    exponentials,
    gated,
    instructions,
    mix,
    round_group,
    scores,
    seen,
)

Array = np.ndarray[Any, Any]
_Function = TypeVar("_Function", bound=Callable[..., Any])

_FOUR_1, _FOUR_4, _FOUR_8 = (block_product(4, tokens, instructions()) for tokens in (1, 4, 8))
_EIGHT_1, _EIGHT_4, _EIGHT_8 = (block_product(8, tokens, instructions()) for tokens in (1, 4, 8))
_FOUR_BYTES, _EIGHT_BYTES = BLOCK_BYTES[4], BLOCK_BYTES[8]
_LINE = 64
"""Bytes between two counters, so that no two share a cache line."""
_PATIENCE = 2000
"""Looks at a counter before the core is offered to somebody else."""
_KEYS_AT_ONCE = 64
_QUERIES_AT_ONCE = 16


class Model(NamedTuple):
    """A packed model: addresses of blocks, and its shape.

    layers int64 `[L, 4]`: q-k-v, attention out, gate-and-up (one block of either in turn), down.
    norms float32 `[2 L + 1, d]`: before attention and before the inner layer, then the final one.
    """

    layers: Array
    bits: int
    norms: Array
    head: int
    head_bits: int
    head_blocks: int
    inner: int
    heads: int
    key_heads: int
    head_width: int
    epsilon: float


class Past(NamedTuple):
    """What attention sees: cache `[L, 2, B, K, C, D]` with `held` positions, and `padding` `[B]`.

    bias `[L, B or 1, H, q or 1, T]` is added to the scores; with T = 0 there is none.
    """

    cache: Array
    held: int
    padding: Array
    bias: Array


class Work(NamedTuple):
    """Tokens under way, n = B·q: the residual h `[n, d]` and room for what comes between.

    turns `[n, D]` holds (cos, sin) of each pair at each token's position; scratch has a row for
    each thread (`scratch_floats`).
    """

    h: Array
    turns: Array
    qkv: Array
    mixed: Array
    inner: Array
    logits: Array
    scratch: Array


def scratch_floats(model: Model, tokens: int, positions: int) -> int:
    """The floats of scratch that a thread needs for so many tokens over so many positions."""
    group = model.heads // model.key_heads
    return (
        rounded_floats(tokens, max(model.inner, model.norms.shape[1], model.heads * model.head_width))
        + 2 * ROWS * tokens
        + group * (model.head_width + 1 + (positions // ROWS + 1) * ROWS)
    )  # fmt: skip


def rounded_floats(tokens: int, columns: int) -> int:
    """The floats that tokens of so many columns take as integers, with their scales and sums."""
    return tokens * (columns // 2 + columns // 16)


def counters(phases: int) -> Array:
    """Fresh counters for a call: two for each phase."""
    return np.zeros(phases * 2 * _LINE // 8, np.int64)


def _compiled(function: _Function) -> _Function:
    return cast(_Function, njit(nogil=True, cache=True)(function))


if sys.platform == "win32":

    @_compiled
    def _give_way() -> int:
        return 0
else:
    _give_way = types.ExternalFunction("sched_yield", types.int32())


@_compiled
def _over(counter: int, pieces: int) -> int:
    """Wait until so many pieces are done; returns the next phase's counter."""
    looks = 0
    while seen(counter + _LINE) < pieces:
        looks += 1
        if looks > _PATIENCE:
            _give_way()
    return counter + 2 * _LINE


@_compiled
def _round(
    x: int, stride: int, tokens: int, columns: int, norm: int, epsilon: float, into: int
) -> None:
    """Tokens of `columns` floats as integers: high bytes, low bytes, scales, sums.

    With a norm `[columns]` they pass through the root-mean-square norm first.
    """
    groups = columns // GROUP
    low = into + tokens * columns
    scales = low + tokens * columns
    sums = scales + 4 * tokens * groups
    for m in range(tokens):
        start = x + 4 * m * stride
        factor = np.float32(1.0)
        if norm != 0:
            square = dot(start, start, columns // ROWS)
            factor = np.float32(1.0 / np.sqrt(square / columns + epsilon))
        for g in range(groups):
            place = m * groups + g
            round_group(
                start + 4 * GROUP * g, 0 if norm == 0 else norm + 4 * GROUP * g, factor,
                into + GROUP * place, low + GROUP * place, scales + 4 * place, sums + 4 * place,
            )  # fmt: skip


@_compiled
def _multiply(
    bits: int, weights: int, columns: int, first: int, last: int, rounded: int, tokens: int,
    out: int, stride: int, add: int,
) -> None:  # fmt: skip
    """Blocks first … last − 1 times every token: 16 floats of `out` for each."""
    groups = columns // GROUP
    size = groups * (_FOUR_BYTES if bits == 4 else _EIGHT_BYTES)
    scales = rounded + 2 * tokens * columns
    for block in range(first, last):
        w = weights + block * size
        m = 0
        while m < tokens:
            high, s = rounded + m * columns, scales + 4 * m * groups
            low, t = high + tokens * columns, s + 4 * tokens * groups
            o = out + 4 * (m * stride + block * ROWS)
            left = tokens - m
            if bits == 4:
                if left >= 8:
                    _FOUR_8(w, high, low, s, t, o, groups, stride, add)
                elif left >= 4:
                    _FOUR_4(w, high, low, s, t, o, groups, stride, add)
                else:
                    _FOUR_1(w, high, low, s, t, o, groups, stride, add)
            elif left >= 8:
                _EIGHT_8(w, high, low, s, t, o, groups, stride, add)
            elif left >= 4:
                _EIGHT_4(w, high, low, s, t, o, groups, stride, add)
            else:
                _EIGHT_1(w, high, low, s, t, o, groups, stride, add)
            m += 8 if left >= 8 else 4 if left >= 4 else 1


@_compiled
def _project(
    counter: int, pieces: int, bits: int, weights: int, blocks: int, x: int, stride: int,
    tokens: int, columns: int, norm: int, epsilon: float, rounded: int, out: int, wide: int,
    add: int,
) -> int:  # fmt: skip
    """One phase: tokens (normed or not) times a packed matrix, 16 of its rows a block."""
    ready = False
    while True:
        piece = add_one(counter)
        if piece >= pieces:
            return _over(counter, pieces)
        if not ready:
            _round(x, stride, tokens, columns, norm, epsilon, rounded)
            ready = True
        first, last = piece * blocks // pieces, (piece + 1) * blocks // pieces
        _multiply(bits, weights, columns, first, last, rounded, tokens, out, wide, add)
        add_one(counter + _LINE)


@_compiled
def _gate(
    counter: int, pieces: int, bits: int, weights: int, blocks: int, x: int, tokens: int,
    columns: int, norm: int, epsilon: float, rounded: int, pair: int, out: int,
) -> int:  # fmt: skip
    """One phase: silu(gate)·up of normed tokens; `pair` has room for 32 floats a token."""
    ready = False
    while True:
        piece = add_one(counter)
        if piece >= pieces:
            return _over(counter, pieces)
        if not ready:
            _round(x, columns, tokens, columns, norm, epsilon, rounded)
            ready = True
        for block in range(piece * blocks // pieces, (piece + 1) * blocks // pieces):
            beside = pair - 8 * ROWS * block
            _multiply(
                bits, weights, columns, 2 * block, 2 * block + 2, rounded, tokens, beside,
                2 * ROWS, 0,
            )  # fmt: skip
            for m in range(tokens):
                gate = pair + 8 * ROWS * m
                gated(gate, gate + 4 * ROWS, out + 4 * ROWS * (m * blocks + block))
        add_one(counter + _LINE)


@_compiled
def _turn(x: Array, turns: Array, scale: "np.floating[Any]", out: Array) -> None:
    """Neighbouring pairs of one head rotated by their (cos, sin) and scaled."""
    for i in range(0, len(turns), 2):
        a, b, cosine, sine = x[i], x[i + 1], turns[i], turns[i + 1]
        out[i] = (a * cosine - b * sine) * scale
        out[i + 1] = (a * sine + b * cosine) * scale


@_compiled
def _mix(
    query: Array, keys: int, values: int, first: int, last: int, heads: int, width: int,
    bias: Array, room: Array, out: Array,
) -> None:  # fmt: skip
    """Mix values first … last − 1 into out, both `[heads·width]`, by queries that share their keys.

    bias `[heads, last]`, or of no columns; `room` for the heads' sums and scores. Keys are read in runs that stay near the core for all
    the heads.
    """
    count, vectors = last - first, width // ROWS
    padded = (count + ROWS - 1) // ROWS * ROWS
    totals, score = room[:heads], room[heads:]
    out[:] = 0
    for start in range(0, count, _KEYS_AT_ONCE):
        run = min(_KEYS_AT_ONCE, count - start)
        for head in range(heads):
            scores(
                query.ctypes.data + 4 * head * width, keys + 4 * (first + start) * width,
                score.ctypes.data + 4 * (head * padded + start), run, vectors,
            )  # fmt: skip
    for head in range(heads):
        row = score[head * padded : (head + 1) * padded]
        row[count:] = -3e38
        if bias.shape[1] > 0:
            row[:count] += bias[head, first:last]
        totals[head] = exponentials(row.ctypes.data, padded // ROWS)
    for start in range(0, count, _KEYS_AT_ONCE):
        run = min(_KEYS_AT_ONCE, count - start)
        for head in range(heads):
            mix(
                score.ctypes.data + 4 * (head * padded + start),
                values + 4 * (first + start) * width, out.ctypes.data + 4 * head * width, run,
                vectors,
            )  # fmt: skip
    for head in range(heads):
        share = np.float32(1.0) / totals[head]
        for i in range(head * width, (head + 1) * width):
            out[i] *= share


@_compiled
def _remember(counter: int, pieces: int, model: Model, past: Past, work: Work, layer: int) -> int:
    """One phase: new keys, rotated, and values into the cache."""
    size, shared = model.head_width, model.key_heads
    tokens = len(work.h)
    q = tokens // len(past.padding)
    while True:
        piece = add_one(counter)
        if piece >= pieces:
            return _over(counter, pieces)
        for m in range(piece * tokens // pieces, (piece + 1) * tokens // pieces):
            row, place = m // q, past.held + m % q
            for k in range(shared):
                key, value = (model.heads + k) * size, (model.heads + shared + k) * size
                _turn(
                    work.qkv[m, key : key + size], work.turns[m], np.float32(1.0),
                    past.cache[layer, 0, row, k, place],
                )  # fmt: skip
                past.cache[layer, 1, row, k, place] = work.qkv[m, value : value + size]
        add_one(counter + _LINE)


@_compiled
def _attend(
    counter: int, model: Model, past: Past, work: Work, layer: int, query: Array, room: Array
) -> int:
    """One phase: a piece is a run of one row's queries on one key head."""
    size, shared = model.head_width, model.key_heads
    group, rows = model.heads // shared, len(past.padding)
    q = len(work.h) // rows
    runs = (q + _QUERIES_AT_ONCE - 1) // _QUERIES_AT_ONCE
    root = np.float32(1.0 / np.sqrt(size))
    while True:
        piece = add_one(counter)
        if piece >= rows * shared * runs:
            return _over(counter, rows * shared * runs)
        # The last queries see most: theirs come first, so that the threads end together.
        run = runs - 1 - piece // (rows * shared)
        row, k = piece // shared % rows, piece % shared
        keys, values = past.cache[layer, 0, row, k], past.cache[layer, 1, row, k]
        for i in range(run * _QUERIES_AT_ONCE, min(q, (run + 1) * _QUERIES_AT_ONCE)):
            m = row * q + i
            for g in range(group):
                start = (k * group + g) * size
                _turn(
                    work.qkv[m, start : start + size], work.turns[m], root,
                    query[g * size : (g + 1) * size],
                )  # fmt: skip
            out = work.mixed[m, k * group * size : (k + 1) * group * size]
            end = past.held + i + 1
            heads = slice(k * group, (k + 1) * group)
            # A void position sees itself: there is no softmax of nothing.
            _mix(
                query, keys.ctypes.data, values.ctypes.data, min(past.padding[row], end - 1), end,
                group, size, past.bias[layer, row % past.bias.shape[1], heads, i % past.bias.shape[3]],
                room, out,
            )  # fmt: skip
        add_one(counter + _LINE)


PHASES = 6
"""Phases of a layer; the head is one more."""


@_compiled
def step(
    thread: int, counts: Array, pieces: int, model: Model, past: Past, work: Work, first: int,
    last: int, apart: int,
) -> None:  # fmt: skip
    """Layers first … last − 1 on the tokens, and the head on every `apart`-th if apart > 0."""
    tokens, width = work.h.shape
    inner, attention = model.inner, model.heads * model.head_width
    mine = work.scratch[thread]
    rounded = mine.ctypes.data
    used = tokens * (max(inner, width, attention) // 2 + max(inner, width, attention) // 16)
    pair = mine[used:].ctypes.data
    used += 2 * ROWS * tokens
    query = mine[used : used + attention // model.key_heads]
    room = mine[used + attention // model.key_heads :]
    h, qkv, mixed, gated_ = (
        work.h.ctypes.data, work.qkv.ctypes.data, work.mixed.ctypes.data, work.inner.ctypes.data,
    )  # fmt: skip
    three, bits, epsilon = work.qkv.shape[1], model.bits, model.epsilon
    counter = counts.ctypes.data
    for layer in range(first, last):
        blocks = model.layers[layer]
        norm, inner_norm = (
            model.norms[2 * layer].ctypes.data,
            model.norms[2 * layer + 1].ctypes.data,
        )
        counter = _project(
            counter, pieces, bits, blocks[0], three // ROWS, h, width, tokens, width, norm,
            epsilon, rounded, qkv, three, 0,
        )  # fmt: skip
        counter = _remember(counter, min(pieces, tokens), model, past, work, layer)
        counter = _attend(counter, model, past, work, layer, query, room)
        counter = _project(
            counter, pieces, bits, blocks[1], width // ROWS, mixed, attention, tokens, attention,
            0, epsilon, rounded, h, width, 1,
        )  # fmt: skip
        counter = _gate(
            counter, pieces, bits, blocks[2], inner // ROWS, h, tokens, width, inner_norm, epsilon,
            rounded, pair, gated_,
        )  # fmt: skip
        counter = _project(
            counter, pieces, bits, blocks[3], width // ROWS, gated_, inner, tokens, inner, 0,
            epsilon, rounded, h, width, 1,
        )  # fmt: skip
    if apart > 0:
        _project(
            counter, pieces, model.head_bits, model.head, model.head_blocks,
            h + 4 * (apart - 1) * width, apart * width, tokens // apart, width,
            model.norms[len(model.norms) - 1].ctypes.data, epsilon, rounded,
            work.logits.ctypes.data, work.logits.shape[1], 0,
        )  # fmt: skip


@_compiled
def product(
    thread: int, counts: Array, pieces: int, bits: int, weights: int, x: Array, norm: int,
    epsilon: float, rounded: Array, out: Array,
) -> None:  # fmt: skip
    """x `[n, in]`, normed if there is a norm, times a packed matrix → out `[n, rows]`.

    Each thread has its row of `rounded`.
    """
    tokens, columns = x.shape
    _project(
        counts.ctypes.data, pieces, bits, weights, out.shape[1] // ROWS, x.ctypes.data, columns,
        tokens, columns, norm, epsilon, rounded[thread].ctypes.data, out.ctypes.data, out.shape[1],
        0,
    )  # fmt: skip

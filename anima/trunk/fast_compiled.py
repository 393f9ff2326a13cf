"""A packed Llama's decoding step and products, compiled by numba; knows addresses, and no text.

Several threads run the same function on the same call: each phase's pieces are taken from a
counter, and a phase is over when all its pieces are done. A thread that comes late finds them
taken and passes on, so one that the system has put to sleep holds up no other. What is computed
does not depend on who computes it, nor on how many tokens are multiplied at once.
"""

import numpy as np

from anima.trunk.fast_compiling import compiled
from anima.trunk.fast_counters import LINE, add_one, over
from anima.trunk.fast_products import (
    BLOCK_BYTES,
    GROUP,
    ROWS,
    block_product,
    instructions,
    round_group,
)
from anima.trunk.fast_vectors import (
    added,
    dot,
    exponentials,
    filled,
    float_at,
    gated,
    mix,
    scaled,
    scores,
    turned,
)
from anima.trunk.fast_work import Array, Model, Past, Rooms, Work

_KEYS_AT_ONCE = 64
_QUERIES_AT_ONCE = 16

# Four tokens at once keep all their sums in registers; eight do not, and take twice the time.
_FOUR_1, _FOUR_4 = (block_product(4, tokens, instructions()) for tokens in (1, 4))
_EIGHT_1, _EIGHT_4 = (block_product(8, tokens, instructions()) for tokens in (1, 4))
_FOUR_BYTES, _EIGHT_BYTES = BLOCK_BYTES[4], BLOCK_BYTES[8]


@compiled
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


@compiled
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
            four = tokens - m >= 4
            if bits == 4:
                if four:
                    _FOUR_4(w, high, low, s, t, o, groups, stride, add)
                else:
                    _FOUR_1(w, high, low, s, t, o, groups, stride, add)
            elif four:
                _EIGHT_4(w, high, low, s, t, o, groups, stride, add)
            else:
                _EIGHT_1(w, high, low, s, t, o, groups, stride, add)
            m += 4 if four else 1


@compiled
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
            return over(counter, pieces)
        if not ready:
            _round(x, stride, tokens, columns, norm, epsilon, rounded)
            ready = True
        first, last = piece * blocks // pieces, (piece + 1) * blocks // pieces
        _multiply(bits, weights, columns, first, last, rounded, tokens, out, wide, add)
        add_one(counter + LINE)


@compiled
def _gate(
    counter: int, pieces: int, bits: int, weights: int, blocks: int, x: int, tokens: int,
    columns: int, norm: int, epsilon: float, rounded: int, pair: int, out: int,
) -> int:  # fmt: skip
    """One phase: silu(gate)·up of normed tokens; `pair` has room for 32 floats a token."""
    ready = False
    while True:
        piece = add_one(counter)
        if piece >= pieces:
            return over(counter, pieces)
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
        add_one(counter + LINE)


@compiled
def _mix(
    query: int, keys: int, values: int, count: int, heads: int, width: int, bias: int, apart: int,
    score: int, out: int,
) -> None:  # fmt: skip
    """Mix `count` values into out by the queries, both `[heads·width]`, that share their keys.

    bias is the address of the first head's row or 0, the next head's being `apart` floats on;
    `score` has room for the heads' scores. Keys are read in runs that stay near the core for all
    the heads.
    """
    vectors = width // ROWS
    padded = (count + ROWS - 1) // ROWS
    row = 4 * ROWS * padded
    filled(out, np.float32(0.0), heads * vectors)
    for head in range(heads):
        filled(score + head * row + row - 4 * ROWS, np.float32(-3e38), 1)
    for start in range(0, count, _KEYS_AT_ONCE):
        run = min(_KEYS_AT_ONCE, count - start)
        for head in range(heads):
            scores(
                query + 4 * head * width, keys + 4 * start * width, score + head * row + 4 * start,
                run, vectors,
            )  # fmt: skip
    total = score + heads * row
    for head in range(heads):
        if bias != 0:
            added(score + head * row, bias + 4 * head * apart, count)
        share = np.float32(1.0) / exponentials(score + head * row, padded)
        filled(total + 4 * ROWS * head, share, 1)
    for start in range(0, count, _KEYS_AT_ONCE):
        run = min(_KEYS_AT_ONCE, count - start)
        for head in range(heads):
            mix(
                score + head * row + 4 * start, values + 4 * start * width, out + 4 * head * width,
                run, vectors,
            )  # fmt: skip
    for head in range(heads):
        share = float_at(total + 4 * ROWS * head)
        scaled(out + 4 * head * width, share, out + 4 * head * width, vectors)


@compiled
def _remember(
    counter: int, pieces: int, cache: int, capacity: int, held: int, q: int, tokens: int,
    heads: int, shared: int, size: int, qkv: int, turns: int,
) -> int:  # fmt: skip
    """One phase: new keys, rotated, and values into a layer's cache; queries rotated in place."""
    vectors, wide = size // ROWS, (heads + 2 * shared) * size
    rows = tokens // q
    root = np.float32(1.0 / np.sqrt(size))
    while True:
        piece = add_one(counter)
        if piece >= pieces:
            return over(counter, pieces)
        for m in range(piece * tokens // pieces, (piece + 1) * tokens // pieces):
            row, place = m // q, held + m % q
            start, turn = qkv + 4 * m * wide, turns + 4 * m * size
            for head in range(heads):
                query = start + 4 * head * size
                turned(query, turn, root, query, vectors)
            for k in range(shared):
                key = cache + 4 * ((row * shared + k) * capacity + place) * size
                value = key + 4 * rows * shared * capacity * size
                turned(start + 4 * (heads + k) * size, turn, np.float32(1.0), key, vectors)
                scaled(start + 4 * (heads + shared + k) * size, np.float32(1.0), value, vectors)
        add_one(counter + LINE)


@compiled
def _attend(
    counter: int, cache: int, capacity: int, held: int, q: int, tokens: int, padding: Array,
    heads: int, shared: int, size: int, qkv: int, bias: int, bias_rows: int, bias_queries: int,
    score: int, mixed: int,
) -> int:  # fmt: skip
    """One phase: a piece is a run of one row's queries on one key head.

    bias is this layer's `[rows or 1, H, queries or 1, T]`, or 0.
    """
    group, rows = heads // shared, tokens // q
    runs = (q + _QUERIES_AT_ONCE - 1) // _QUERIES_AT_ONCE
    wide, total = (heads + 2 * shared) * size, held + q
    while True:
        piece = add_one(counter)
        if piece >= rows * shared * runs:
            return over(counter, rows * shared * runs)
        # The last queries see most: theirs come first, so that the threads end together.
        run = runs - 1 - piece // (rows * shared)
        row, k = piece // shared % rows, piece % shared
        keys = cache + 4 * (row * shared + k) * capacity * size
        values = keys + 4 * rows * shared * capacity * size
        for i in range(run * _QUERIES_AT_ONCE, min(q, (run + 1) * _QUERIES_AT_ONCE)):
            m, end = row * q + i, held + i + 1
            first = min(padding[row], end - 1)  # a void position sees itself: no softmax of nothing
            line = (row % bias_rows) * heads * bias_queries + k * group * bias_queries
            added_ = bias + 4 * ((line + i % bias_queries) * total + first)
            _mix(
                qkv + 4 * (m * wide + k * group * size), keys + 4 * first * size,
                values + 4 * first * size, end - first, group, size, 0 if bias == 0 else added_,
                bias_queries * total, score, mixed + 4 * (m * heads + k * group) * size,
            )  # fmt: skip
        add_one(counter + LINE)


PHASES = 6
"""Phases of a layer; the head is one more."""


@compiled
def _rooms(thread: int, model: Model, work: Work) -> Rooms:
    tokens, width = work.h.shape
    most = max(model.inner, width, model.heads * model.head_width)
    rounded = work.scratch.ctypes.data + 4 * thread * work.scratch.shape[1]
    pair = rounded + 4 * tokens * (most // 2 + most // 16)
    return Rooms(rounded, pair, pair + 8 * ROWS * tokens)


@compiled
def _attention(
    counter: int, pieces: int, layer: int, model: Model, past: Past, work: Work, rooms: Rooms
) -> int:
    """Four phases: queries, keys and values; what is new into the cache; its mixture; h of that."""
    tokens, width = work.h.shape
    heads, shared, size = model.heads, model.key_heads, model.head_width
    attention, three = heads * size, (heads + 2 * shared) * size
    h, qkv, mixed = work.h.ctypes.data, work.qkv.ctypes.data, work.mixed.ctypes.data
    held, padding, capacity = past.held, past.padding, past.cache.shape[4]
    q = tokens // len(padding)
    cache = past.cache.ctypes.data + 4 * layer * (past.cache.size // past.cache.shape[0])
    bias = 0
    if past.bias.shape[4] > 0:
        bias = past.bias.ctypes.data + 4 * layer * (past.bias.size // past.bias.shape[0])
    counter = _project(
        counter, pieces, model.bits, model.layers[layer, 0], three // ROWS, h, width, tokens, width,
        model.norms.ctypes.data + 8 * width * layer, model.epsilon, rooms.rounded, qkv, three, 0,
    )  # fmt: skip
    counter = _remember(
        counter, min(pieces, tokens), cache, capacity, held, q, tokens, heads, shared, size, qkv,
        work.turns.ctypes.data,
    )  # fmt: skip
    counter = _attend(
        counter, cache, capacity, held, q, tokens, padding, heads, shared, size, qkv, bias,
        past.bias.shape[1], past.bias.shape[3], rooms.score, mixed,
    )  # fmt: skip
    return _project(
        counter, pieces, model.bits, model.layers[layer, 1], width // ROWS, mixed, attention,
        tokens, attention, 0, model.epsilon, rooms.rounded, h, width, 1,
    )  # fmt: skip


@compiled
def _inner_layer(
    counter: int, pieces: int, layer: int, model: Model, work: Work, rooms: Rooms
) -> int:
    """Two phases: the gated inner layer, and h of that."""
    tokens, width = work.h.shape
    h, gated_, inner = work.h.ctypes.data, work.inner.ctypes.data, model.inner
    norm = model.norms.ctypes.data + 4 * width * (2 * layer + 1)
    counter = _gate(
        counter, pieces, model.bits, model.layers[layer, 2], inner // ROWS, h, tokens, width, norm,
        model.epsilon, rooms.rounded, rooms.pair, gated_,
    )  # fmt: skip
    return _project(
        counter, pieces, model.bits, model.layers[layer, 3], width // ROWS, gated_, inner, tokens,
        inner, 0, model.epsilon, rooms.rounded, h, width, 1,
    )  # fmt: skip


@compiled
def _head(counter: int, pieces: int, model: Model, work: Work, rooms: Rooms, apart: int) -> int:
    """One phase: the logits of every `apart`-th token."""
    tokens, width = work.h.shape
    return _project(
        counter, pieces, model.head_bits, model.head, model.head_blocks,
        work.h.ctypes.data + 4 * (apart - 1) * width, apart * width, tokens // apart, width,
        model.norms.ctypes.data + 4 * (len(model.norms) - 1) * width, model.epsilon, rooms.rounded,
        work.logits.ctypes.data, work.logits.shape[1], 0,
    )  # fmt: skip


@compiled
def step(
    thread: int, counts: Array, pieces: int, model: Model, past: Past, work: Work, first: int,
    last: int, apart: int,
) -> None:  # fmt: skip
    """Layers first … last − 1 on the tokens, and the head on every `apart`-th if apart > 0."""
    rooms = _rooms(thread, model, work)
    counter = counts.ctypes.data
    for layer in range(first, last):
        counter = _attention(counter, pieces, layer, model, past, work, rooms)
        counter = _inner_layer(counter, pieces, layer, model, work, rooms)
    if apart > 0:
        _head(counter, pieces, model, work, rooms, apart)


@compiled
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
        tokens, columns, norm, epsilon, rounded.ctypes.data + 4 * thread * rounded.shape[1],
        out.ctypes.data, out.shape[1],
        0,
    )  # fmt: skip

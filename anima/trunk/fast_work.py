"""What the compiled step works on: a packed model, what attention sees, and room; computes nothing."""

from typing import Any, NamedTuple

import numpy as np

from anima.trunk.fast_products import ROWS

Array = np.ndarray[Any, Any]


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


class Rooms(NamedTuple):
    """Addresses of what one thread has for itself.

    Tokens as integers, 32 floats a token for a gate and what it gates, and scores.
    """

    rounded: int
    pair: int
    score: int


def scratch_floats(model: Model, tokens: int, positions: int) -> int:
    """The floats of scratch that a thread needs for so many tokens over so many positions."""
    group = model.heads // model.key_heads
    return (
        rounded_floats(tokens, max(model.inner, model.norms.shape[1], model.heads * model.head_width))
        + 2 * ROWS * tokens
        + group * (positions // ROWS + 2) * ROWS
    )  # fmt: skip


def rounded_floats(tokens: int, columns: int) -> int:
    """The floats that tokens of so many columns take as integers, with their scales and sums."""
    return tokens * (columns // 2 + columns // 16)

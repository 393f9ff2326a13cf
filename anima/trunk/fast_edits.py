"""A change of residual rows by what is read there, compiled by numba; knows arrays, and no SAE.

One call does what takes two dozen tensor operations. Between two halves of a forward call all of
their code has to come from memory again, and takes as long as three layers.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

Array = np.ndarray[Any, Any]
_Function = TypeVar("_Function", bound=Callable[..., Any])

BIAS, THRESHOLD, TARGET, KEPT, LOWEST, HIGHEST, ABOVE = range(7)
"""The columns of `constants`."""

_CUBE, _ROWS, _ROW = "float32[:, :, ::1]", "float32[:, ::1]", "float32[::1]"


def _compiled(types: str) -> Callable[[_Function], _Function]:
    # Sums may be taken in any order; infinities are bounds, so they have to stay what they are.
    made = njit(types, nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
    return cast("Callable[[_Function], _Function]", made)


@_compiled(f"float32({_ROW}, {_ROW}, {_ROW})")
def _read(x: Array, row: Array, centre: Array) -> np.float32:
    total = np.float32(0)
    for column in range(len(x)):
        total += (x[column] - centre[column]) * row[column]
    return total


@_compiled(f"float32(float32, {_ROW})")
def _changed(seen: np.float32, constant: Array) -> np.float32:
    if not seen > constant[ABOVE]:
        return np.float32(0)
    wanted = constant[TARGET] - constant[KEPT] * seen
    return min(max(wanted, constant[LOWEST]), constant[HIGHEST])


@_compiled(f"float32({_ROW}, {_ROW}, float32)")
def _bounded(delta: Array, instead: Array, room: np.float32) -> np.float32:
    """Bring a delta within its room, or what stands in its place; by what it was multiplied."""
    squares = np.float32(0)
    for column in range(len(delta)):
        squares += delta[column] * delta[column]
    length = np.sqrt(squares)
    scale = room / length if length > room else np.float32(1)
    for column in range(len(delta)):
        delta[column] = (length * instead[column] if len(instead) else delta[column]) * scale
    return scale


@_compiled(f"void({_CUBE}, {_ROWS}, {_ROW}, int64, {_ROWS}, {_ROWS}, float32, {_ROW}, {_CUBE})")
def edited(
    x: Array,
    encode: Array,
    centre: Array,
    features: int,
    constants: Array,
    rows: Array,
    room: np.float32,
    instead: Array,
    table: Array,
) -> None:
    """Fill `table` `[b, q, d + 2 n + 1]` for x `[b, q, d]`: delta, what is read, its change, scale.

    Of the n rows of `encode` the first `features` read x less `centre`, and what they read counts
    above 0 and its threshold; the others project x as it is. `instead` `[d]`, or nothing, takes
    the delta's place at its length.
    """
    width, count = x.shape[2], len(rows)
    nothing = np.zeros_like(centre)
    for token in range(x.shape[0] * x.shape[1]):
        place = token // x.shape[1], token % x.shape[1]
        here, out = x[place], table[place]
        delta = out[:width]
        delta[:] = np.float32(0)
        for index in range(count):
            constant = constants[index]
            seen = _read(here, encode[index], centre if index < features else nothing)
            if index < features:
                seen += constant[BIAS]
                if not (seen > 0 and seen > constant[THRESHOLD]):
                    seen = np.float32(0)
            change = _changed(seen, constant)
            out[width + index], out[width + count + index] = seen, change
            for column in range(width):
                delta[column] += change * rows[index, column]
        out[width + 2 * count] = _bounded(delta, instead, room)

"""Counters by which threads share out the pieces of a phase and wait for each other; knows no work.

A phase has two, one after the other: how many of its pieces were taken, and how many are done.
"""

import sys
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from anima.trunk.fast_compiling import compiled
from anima.trunk.fast_lanes import I64, Builder, Value, number

LINE = 64
"""Bytes between two counters, so that no two share a cache line."""
_PATIENCE = 2000
"""Looks at a counter before the core is offered to somebody else."""


def counters(phases: int) -> "np.ndarray[Any, Any]":
    """Fresh counters for a call: two for each phase."""
    return np.zeros(phases * 2 * LINE // 8, np.int64)


@intrinsic  # type: ignore[untyped-decorator]
def add_one(typing: Any, address: Any) -> Any:
    """The counter at an address before one was added to it, in one step for all threads."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        place = b.inttoptr(arguments[0], I64.as_pointer())
        return b.atomic_rmw("add", place, number(1), "seq_cst")

    return types.int64(types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def seen(typing: Any, address: Any) -> Any:
    """The counter at an address, and all that was written before it got there."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        place = b.inttoptr(arguments[0], I64.as_pointer())
        return b.load_atomic(place, ordering="seq_cst", align=8)

    return types.int64(types.int64), generate


if sys.platform == "win32":

    @compiled
    def _give_way() -> int:
        return 0
else:
    _give_way = types.ExternalFunction("sched_yield", types.int32())


@compiled
def over(counter: int, pieces: int) -> int:
    """Wait until so many pieces are done; returns the next phase's counter."""
    looks = 0
    while seen(counter + LINE) < pieces:
        looks += 1
        if looks > _PATIENCE:
            _give_way()
    return counter + 2 * LINE

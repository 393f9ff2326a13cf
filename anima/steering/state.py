"""Pushes made ready to apply: immutable tensors, and one compiled call where there is such a thing.

It knows tensors, and neither where they come from nor modes.
Shapes: h `[..., d]` the residual stream, n pushes, a `[..., n]` what is there of each now.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy
import torch
from torch import Tensor

from anima.steering.push import Push
from anima.trunk.edits import compiled_edit


@dataclass(frozen=True, kw_only=True, eq=False)
class Linear:
    """A `read` that is linear but for thresholds: n rows, features first, then directions.

    `rows` `[n, d]`; features read h less `centre` `[d]`, plus `bias` `[n]`, and count above 0 and
    `threshold` `[n]`.
    """

    features: int
    rows: Tensor
    centre: Tensor
    bias: Tensor
    threshold: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Written:
    """One call's delta `[..., d]`, what was there `actual` and its `change` `[..., n]`, and `scale`.

    `scale` `[..., 1]` is 1, or less where the budget bound. All are columns of one `table`, in this
    order: at each token only the delta is looked at, the rest when the turn is over.
    """

    table: Tensor
    pushes: int

    @property
    def delta(self) -> Tensor:
        return self.table.narrow(-1, 0, self.table.shape[-1] - 2 * self.pushes - 1)

    @property
    def actual(self) -> Tensor:
        return self.table[..., -2 * self.pushes - 1 : -self.pushes - 1]

    @property
    def change(self) -> Tensor:
        return self.table[..., -self.pushes - 1 : -1]

    @property
    def scale(self) -> Tensor:
        return self.table[..., -1:]


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """Pushes made ready to apply: immutable tensors, so that swapping states is one assignment.

    Made by `ready`. The change of each `a` is `clip(target − kept·a, lowest, highest)` where
    `a > above`, else 0; all six operations are this with other constants. `rows` `[n, d]` are what
    one unit of change adds to h; `room` is the longest delta. `instead` `[d]`, a unit vector, takes
    the delta's place at the same length (the placebo). `applied` False computes and writes nothing.
    """

    pushes: tuple[Push, ...]
    norm: float
    room: float
    read: Callable[[Tensor], Tensor]
    rows: Tensor
    lengths: Tensor
    target: Tensor
    kept: Tensor
    lowest: Tensor
    highest: Tensor
    above: Tensor
    conditional: bool
    applied: bool = True
    instead: Tensor | None = None
    linear: Linear | None = None

    @cached_property
    def compiled(self) -> Callable[[Tensor], Written] | None:
        """What computes `delta` in one call on the CPU, where there is such a thing."""
        edit = compiled_edit()
        if edit is None or self.linear is None or self.rows.device.type != "cpu":
            return None
        return _compiled(self, self.linear, edit)

    @property
    def nominal(self) -> float:
        """How long the delta is where nothing is there yet, as a fraction of ‖h‖, before the budget.

        What only takes away or holds down has no part in it.
        """
        taking = torch.tensor([push.operation in ("ablate", "cap") for push in self.pushes])
        asked = torch.where(taking.to(self.target.device), 0.0, self.target)
        return float(torch.linalg.vector_norm(asked @ self.rows)) / self.norm


def _compiled(
    state: State, linear: Linear, edit: Callable[..., None]
) -> Callable[[Tensor], Written]:
    """`delta` of a state in one compiled call, on the CPU."""
    constants = torch.stack(
        [linear.bias, linear.threshold, state.target, state.kept, state.lowest, state.highest,
         state.above], dim=1
    )  # fmt: skip
    instead = torch.zeros(0) if state.instead is None else state.instead
    encode, centre, told, rows, other = (
        each.float().contiguous().numpy()
        for each in (linear.rows, linear.centre, constants, state.rows, instead)
    )
    columns = state.rows.shape[1] + 2 * len(rows) + 1

    def compute(h: Tensor) -> Written:
        table = numpy.empty((*h.shape[:2], columns), numpy.float32)
        edit(h.numpy(), encode, centre, linear.features, told, rows, state.room, other, table)
        return Written(table=torch.from_numpy(table), pushes=len(rows))

    return compute

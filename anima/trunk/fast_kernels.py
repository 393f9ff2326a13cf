"""Products of rows with a frozen matrix, dense or in 4 or 8 bits, and rounding to those bits.

It knows no model.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from anima.trunk.fast_crew import crew
from anima.trunk.packed import GROUP, EightBit, FourBit, Packed

_ROWS = 16


class Product(Protocol):
    """A frozen matrix [out, in] that multiplies rows."""

    def __call__(self, x: Tensor) -> Tensor:
        """`[n, in]` → `[n, out]`, float32."""


class Dense:
    """A matrix in float32."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self._weight)


class Blocks:
    """A matrix in 4 or 8 bits, arranged for the compiled product: blocks of 16 rows.

    `data` int32 [blocks, groups, 80 or 136]: for each group of 32 columns the weights of 16 rows,
    four columns of a row in one number, then the rows' scales and (in 4 bits) minima in float16.
    8-bit weights are stored 128 too large. Values are exactly those of the packed matrix.
    """

    def __init__(self, weight: FourBit | EightBit) -> None:
        self.bits = 4 if isinstance(weight, FourBit) else 8
        self.rows, self.columns = weight.shape
        missing = -self.rows % _ROWS
        if isinstance(weight, FourBit):
            numbers = _padded(weight.packed, missing).view(torch.int32)
            halves = [weight.scale, weight.minimum]
        else:
            numbers = _padded(weight.values, missing).view(torch.int32) ^ -0x7F7F7F80
            halves = [weight.scale]
        groups = self.columns // GROUP
        parts = [numbers.view(-1, _ROWS, groups, numbers.shape[1] // groups).permute(0, 2, 3, 1)]
        for half in halves:
            by_group = _padded(half, missing).view(-1, _ROWS, groups).permute(0, 2, 1)
            parts.append(by_group.reshape(-1).view(torch.int32).view(-1, groups, 1, _ROWS // 2))
        self.data = torch.cat([part.flatten(2) for part in parts], 2)

    @property
    def blocks(self) -> int:
        return len(self.data)

    @property
    def address(self) -> int:
        """Where the first block lies in memory."""
        return self.data.data_ptr()

    def __call__(self, x: Tensor) -> Tensor:
        from anima.trunk.fast_compiled import product
        from anima.trunk.fast_counters import counters
        from anima.trunk.fast_work import rounded_floats

        together = crew(torch.get_num_threads())
        out = np.empty((len(x), self.blocks * _ROWS), np.float32)
        rounded = np.empty((together.threads, rounded_floats(len(x), self.columns)), np.float32)
        together(
            product, counters(1), together.pieces, self.bits, self.address,
            x.contiguous().numpy(), 0, 0.0, rounded, out,
        )  # fmt: skip
        return torch.from_numpy(out)[:, : self.rows]

    def rows_at(self, ids: Tensor) -> Tensor:
        """Rows of the matrix: ids `[n]` → `[n, in]` in float32."""
        groups = self.columns // GROUP
        found = self.data[ids // _ROWS]
        lane = ids % _ROWS
        index = lane[:, None, None, None]
        count = 2 if self.bits == 4 else 1
        numbers = found[..., : -8 * count].view(len(ids), groups, -1, _ROWS)
        packed = numbers.gather(3, index.expand(-1, groups, numbers.shape[2], 1))
        halves = found[..., -8 * count :].contiguous().view(torch.float16)
        halves = halves.view(len(ids), groups, count, _ROWS)
        scales = halves.gather(3, index.expand(-1, groups, count, 1))[..., 0]
        if self.bits == 4:
            bytes_ = packed.contiguous().view(torch.uint8).view(len(ids), -1)
            scale, minimum = scales.unbind(2)
            return FourBit(packed=bytes_, scale=scale, minimum=minimum).dequantised()
        values = (packed ^ -0x7F7F7F80).contiguous().view(torch.int8).view(len(ids), -1)
        return EightBit(values=values, scale=scales[..., 0]).dequantised()


def _padded(part: Tensor, rows: int) -> Tensor:
    """With so many rows of zeros after the last."""
    if rows == 0:
        return part.contiguous()
    return torch.cat((part, part.new_zeros(rows, part.shape[1])))


def stacked(parts: Sequence[Packed]) -> Packed:
    """Matrices of equal width as one, in 4 or 8 bits where all are."""
    if all(isinstance(part, FourBit) for part in parts):
        four = [part for part in parts if isinstance(part, FourBit)]
        return FourBit(
            packed=torch.cat([part.packed for part in four]),
            scale=torch.cat([part.scale for part in four]),
            minimum=torch.cat([part.minimum for part in four]),
        )
    if all(isinstance(part, EightBit) for part in parts):
        eight = [part for part in parts if isinstance(part, EightBit)]
        return EightBit(
            values=torch.cat([part.values for part in eight]),
            scale=torch.cat([part.scale for part in eight]),
        )
    return torch.cat([full(part) for part in parts])


def reordered(weight: Packed, order: Tensor) -> Packed:
    """A matrix with its rows in another order."""
    if isinstance(weight, Tensor):
        return weight[order]
    if isinstance(weight, EightBit):
        return EightBit(values=weight.values[order], scale=weight.scale[order])
    return FourBit(
        packed=weight.packed[order], scale=weight.scale[order], minimum=weight.minimum[order]
    )


def full(weight: Packed) -> Tensor:
    """The matrix in float32."""
    return weight.float() if isinstance(weight, Tensor) else weight.dequantised()


def in_four_bits(weight: Tensor) -> FourBit:
    """A matrix rounded to 16 even steps between the least and the greatest of each group of 32."""
    groups = weight.float().view(len(weight), -1, GROUP)
    least, greatest = groups.amin(-1), groups.amax(-1)
    scale = ((greatest - least) / 15).half()
    step = torch.where(scale == 0, 1, scale).float()[..., None]
    minimum = least.half()
    q = ((groups - minimum.float()[..., None]) / step).round().clamp(0, 15).to(torch.uint8)
    packed = q[..., : GROUP // 2] | (q[..., GROUP // 2 :] << 4)
    return FourBit(packed=packed.view(len(weight), -1), scale=scale, minimum=minimum)


def in_eight_bits(weight: Tensor) -> EightBit:
    """A matrix rounded to 255 even steps about zero in each group of 32."""
    groups = weight.float().view(len(weight), -1, GROUP)
    scale = (groups.abs().amax(-1) / 127).half()
    step = torch.where(scale == 0, 1, scale).float()[..., None]
    q = (groups / step).round().clamp(-127, 127).to(torch.int8)
    return EightBit(values=q.view(weight.shape), scale=scale)

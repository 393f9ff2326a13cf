"""Products of few rows with a frozen matrix, dense or in 4 or 8 bits; knows no model.

The packed kinds run on `aten::_weight_int4pack_mm_for_cpu`, whose values are
(q − 8)·scale + zero in groups of 32, q four bits, scale and zero bfloat16, sums in float32.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import linear

from anima.trunk.packed import GROUP, EightBit, FourBit, Packed

_ROWS_AT_ONCE = 8
"""Beyond this many rows in one call the kernel's time per row grows again."""
_FEW_ROWS = 64
"""Up to here the kernel is faster than unpacking the matrix for one dense product."""
_BLOCK = 16
"""The kernel wants a multiple of this many rows of the matrix."""
_RESCORED = 256


class Product(Protocol):
    """A frozen matrix [out, in] that multiplies rows."""

    @property
    def takes(self) -> torch.dtype:
        """The dtype of the rows to give it."""

    def __call__(self, x: Tensor) -> Tensor:
        """`[M, in]` → `[M, out]`."""


class Dense:
    """A matrix in float32."""

    takes = torch.float32

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self._weight)


class Nibbles:
    """A matrix in groups of 32 values of 4 bits, or of two 4-bit halves of 8 bits.

    Many rows at once are multiplied densely by a matrix unpacked for the call and let go after it,
    so that the weights are in memory once.
    """

    takes = torch.bfloat16

    def __init__(self, weight: FourBit | EightBit) -> None:
        self._weight = weight
        self._out = weight.scale.shape[0]
        self._halves = isinstance(weight, EightBit)
        self._packed, self._scales = (
            _pack_eight(weight) if isinstance(weight, EightBit) else _pack_four(weight)
        )
        self._dense = torch.bfloat16 if _multiplies_bfloat16() else torch.float32

    def __call__(self, x: Tensor) -> Tensor:
        if len(x) <= _ROWS_AT_ONCE:
            return self._few(x)
        if len(x) <= _FEW_ROWS:
            return torch.cat([self._few(part) for part in torch.split(x, _ROWS_AT_ONCE)])
        return linear(x.to(self._dense), self._weight.dequantised().to(self._dense))

    def _few(self, x: Tensor) -> Tensor:
        if self._halves:
            x = torch.cat((x, x), 1)
        kernel = torch.ops.aten._weight_int4pack_mm_for_cpu
        product: Tensor = kernel(x, self._packed, GROUP, self._scales)
        return product[:, : self._out]


class Head:
    """The head in 8 bits: every logit by the kernel, the best of each row again in float32.

    The kernel's results are bfloat16, whose steps at usual logits are larger than many a lead of
    the first over the second; the rescored ones are exact.
    """

    takes = torch.float32

    def __init__(self, weight: EightBit) -> None:
        self._weight = weight
        self._product = Nibbles(weight)

    def __call__(self, x: Tensor) -> Tensor:
        if len(x) > _ROWS_AT_ONCE:
            return _exact(self._weight, x)
        logits = self._product(x.bfloat16()).float()
        best = logits.topk(min(_RESCORED, logits.shape[1]), sorted=False).indices
        rows = looked_up(self._weight, best)
        return logits.scatter_(1, best, torch.bmm(rows, x[:, :, None])[..., 0])


def looked_up(weight: Packed, ids: Tensor) -> Tensor:
    """Rows of a matrix in float32: ids of any shape → `[*ids.shape, in]`."""
    if isinstance(weight, Tensor):
        return weight[ids]
    if isinstance(weight, FourBit):
        flat = ids.reshape(-1)
        part = FourBit(
            packed=weight.packed[flat], scale=weight.scale[flat], minimum=weight.minimum[flat]
        )
        return part.dequantised().view(*ids.shape, -1)
    values, scale = weight.values[ids], weight.scale[ids].float()
    return (values.view(*scale.shape, GROUP) * scale[..., None]).view(values.shape)


def _exact(weight: EightBit, x: Tensor) -> Tensor:
    """Every logit in float32, the head unpacked piece by piece."""
    pieces = zip(torch.split(weight.values, 8192), torch.split(weight.scale, 8192), strict=True)
    return torch.cat([linear(x, EightBit(values=v, scale=s).dequantised()) for v, s in pieces], 1)


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


def has_kernel() -> bool:
    """Whether this CPU has the vector form of the 4-bit product; the plain one is of no use."""
    return torch.backends.cpu.get_cpu_capability() in ("AVX512", "AVX2")


def _multiplies_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and bool(
        torch.cpu._is_avx512_bf16_supported()
    )


def _pack_four(weight: FourBit) -> tuple[Tensor, Tensor]:
    rows, groups = weight.scale.shape
    bytes_ = weight.packed.view(rows, groups, 1, GROUP // 2)
    q = torch.cat((bytes_ & 15, bytes_ >> 4), 2).view(rows, groups * GROUP)
    scale = weight.scale.float()
    zero = weight.minimum.float() + 8 * scale
    return _kernel_form(q, scale, _balanced(q, scale, zero))


def _pack_eight(weight: EightBit) -> tuple[Tensor, Tensor]:
    """q + 128 = 16·high + low: both halves side by side, the rows multiplied by either."""
    shifted = weight.values.view(torch.uint8) ^ 128
    q = torch.cat((shifted >> 4, shifted & 15), 1)
    scale = weight.scale.float()
    scales = torch.cat((16 * scale, scale), 1)
    zeros = torch.cat((torch.zeros_like(scale), 8 * scale), 1)
    return _kernel_form(q, scales, _balanced(q, scales, zeros))


def _balanced(q: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """The zeros that keep each group's mean when its scale is rounded to bfloat16."""
    mean = q.view(*scale.shape, GROUP).sum(-1, dtype=torch.float32) / GROUP
    return zero + (scale - scale.bfloat16().float()) * (mean - 8)


def _kernel_form(q: Tensor, scale: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
    missing = -len(q) % _BLOCK
    if missing:
        q, scale, zero = (
            torch.cat((part, part.new_zeros(missing, part.shape[1]))) for part in (q, scale, zero)
        )
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(q.int(), 1)
    return packed, torch.stack((scale.t(), zero.t()), -1).bfloat16().contiguous()

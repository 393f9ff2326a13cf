"""Products of packed weights with rounded activations, for compiled code; knows no model.

Weights come in blocks of 16 rows (`fast_kernels.Blocks`), activations as 16-bit integers in two
signed bytes, x̂ = scale·(256·high + low) with one scale for 32 of them: products are then sums of
whole numbers, and what rounding loses is 1.5e-5 of the largest of the 32. Where the CPU multiplies
four bytes into one sum in one instruction (AVX-512 VNNI, AVX-VNNI) it does; elsewhere the same sums
are made of float32 products, exact as well because no partial sum reaches 2²⁴.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from anima.trunk.fast_lanes import (
    BYTES,
    FLOAT,
    FLOATS,
    HALVES,
    I8,
    I16,
    I32,
    INTS,
    Builder,
    Value,
    at,
    call,
    every,
    fma,
    lane_sum,
    number,
    put,
    splat,
)

GROUP = 32
ROWS = 16
"""Rows of a matrix in one block: one per lane of a vector."""
BLOCK_BYTES = {4: 320, 8: 544}
"""Bytes of one block of 16 rows over one group of 32 columns, by bits of a weight."""


def instructions() -> str:
    """How this CPU multiplies bytes: vnni512, vnni256 or plain."""
    found = llvmlite.binding.get_host_cpu_features()
    if found.get("avx512vnni") and found.get("avx512bw"):
        return "vnni512"
    return "vnni256" if found.get("avxvnni") else "plain"


def _dot_of_bytes(b: Builder, how: str, total: Value, weights: Value, x: Value) -> Value:
    """total + Σ of four products in each lane: weights unsigned bytes, x signed ones."""
    if how == "vnni512":
        return call(b, "llvm.x86.avx512.vpdpbusd.512", INTS, total, weights, x)
    if how == "vnni256":
        halves = []
        kind = ir.VectorType(I32, 8)
        for start in (0, 8):
            lanes = ir.Constant(kind, list(range(start, start + 8)))
            parts = [b.shuffle_vector(value, value, lanes) for value in (total, weights, x)]
            halves.append(call(b, "llvm.x86.avx512.vpdpbusd.256", kind, *parts))
        return b.shuffle_vector(*halves, ir.Constant(INTS, list(range(16))))
    for byte in range(4):
        weight = b.and_(b.lshr(weights, every(INTS, 8 * byte)), every(INTS, 255))
        signed = b.ashr(b.shl(x, every(INTS, 24 - 8 * byte)), every(INTS, 24))
        total = fma(b, b.sitofp(weight, FLOATS), b.sitofp(signed, FLOATS), total)
    return total


def _quads(b: Builder, base: Value, bits: int) -> list[tuple[Value, int]]:
    """The weights of a block and group as vectors of four columns by 16 rows, and where those are.

    Four bits: byte c of piece k holds columns 4k+c and 16+4k+c, as GGUF's Q4_1 pairs them.
    """
    if bits == 8:
        return [(at(b, base, 64 * k, INTS), 4 * k) for k in range(8)]
    found = []
    low = every(BYTES, 15)
    words = ir.VectorType(I16, 32)
    for k in range(4):
        both = at(b, base, 64 * k, BYTES)
        high = b.bitcast(b.lshr(b.bitcast(both, words), every(words, 4)), BYTES)
        found.append((b.bitcast(b.and_(both, low), INTS), 4 * k))
        found.append((b.bitcast(b.and_(high, low), INTS), 16 + 4 * k))
    return found


@dataclass(frozen=True, kw_only=True)
class _Block:
    """What a block's product is written for: bits of a weight, tokens at once, the way of bytes."""

    bits: int
    tokens: int
    how: str

    def write(self, b: Builder, given: tuple[Value, ...]) -> None:
        """The whole product, from the arguments of `block_product`."""
        sums = [cgutils.alloca_once_value(b, every(FLOATS, 0.0)) for _ in range(self.tokens)]
        out, groups, stride, add = given[5:]
        with cgutils.for_range(b, groups) as loop:
            self._add_group(b, given, loop.index, sums)
        for m in range(self.tokens):
            place = b.mul(stride, number(4 * m))
            there = b.select(
                b.icmp_signed("!=", add, number(0)), at(b, out, place, FLOATS), every(FLOATS, 0.0)
            )
            put(b, b.fadd(there, b.load(sums[m])), out, place)

    def _add_group(
        self, b: Builder, given: tuple[Value, ...], g: Value, sums: Sequence[Value]
    ) -> None:
        """Add what one group of columns comes to, for each token."""
        weights, high, low, scales, totals, _, groups, _, _ = given
        base = b.add(weights, b.mul(g, number(BLOCK_BYTES[self.bits])))
        products = self._of_bytes(b, base, high, low, groups, g)
        halves = BLOCK_BYTES[self.bits] - 32 * (2 if self.bits == 4 else 1)
        steps = b.fpext(at(b, base, halves, HALVES), FLOATS)
        for m, (top, bottom) in enumerate(products):
            place = b.mul(b.add(g, b.mul(groups, number(m))), number(4))
            product = b.fmul(self._joined(b, top, bottom), splat(b, at(b, scales, place, FLOAT)))
            total = splat(b, at(b, totals, place, FLOAT))
            if self.bits == 8:  # the bytes are 128 too large
                product = fma(b, total, every(FLOATS, -128.0), product)
            sum_ = fma(b, product, steps, b.load(sums[m]))
            if self.bits == 4:
                least = b.fpext(at(b, base, halves + 32, HALVES), FLOATS)
                sum_ = fma(b, least, total, sum_)
            b.store(sum_, sums[m])

    def _of_bytes(
        self, b: Builder, base: Value, high: Value, low: Value, groups: Value, g: Value
    ) -> Sequence[tuple[Value, Value]]:
        """For each token the products of a group's weights with its high bytes and its low ones."""
        kind = FLOATS if self.how == "plain" else INTS
        tops, bottoms = ([every(kind, 0)] * self.tokens for _ in range(2))
        columns = [
            b.mul(b.add(b.mul(groups, number(m)), g), number(GROUP)) for m in range(self.tokens)
        ]
        for quad, column in _quads(b, base, self.bits):
            for m in range(self.tokens):
                place = b.add(columns[m], number(column))
                x = splat(b, at(b, high, place, I32))
                tops[m] = _dot_of_bytes(b, self.how, tops[m], quad, x)
                x = splat(b, at(b, low, place, I32))
                bottoms[m] = _dot_of_bytes(b, self.how, bottoms[m], quad, x)
        return list(zip(tops, bottoms, strict=True))

    def _joined(self, b: Builder, top: Value, bottom: Value) -> Value:
        """256·top + bottom as floats."""
        if self.how == "plain":
            return fma(b, top, every(FLOATS, 256.0), bottom)
        return b.sitofp(b.add(b.shl(top, every(INTS, 8)), bottom), FLOATS)


def block_product(bits: int, tokens: int, how: str) -> Callable[..., None]:
    """The product of one block of 16 rows with so many tokens, as a function for compiled code.

    `(weights, high, low, scales, sums, out, groups, stride, add)`: addresses, but for the counts
    and `add`, which says whether the products are added to what is there. high and low int8
    [tokens, 32·groups], scales and sums (Σ x̂ of a group) float32 [tokens, groups]; out is the
    first of 16 neighbouring floats of each token, `stride` floats apart.
    """
    block = _Block(bits=bits, tokens=tokens, how=how)

    def generate(context: Any, b: Builder, _: Any, given: tuple[Value, ...]) -> Value:
        block.write(b, given)
        return context.get_dummy_value()

    @intrinsic  # type: ignore[untyped-decorator]
    def product(
        typing: Any, weights: Any, high: Any, low: Any, scales: Any, sums: Any, out: Any,
        groups: Any, stride: Any, add: Any,
    ) -> Any:  # fmt: skip
        return types.void(*[types.int64] * 9), generate

    made: Callable[..., None] = product
    return made


def _weighted(b: Builder, x: Value, norm: Value, factor: Value) -> Sequence[Value]:
    """32 floats as two vectors, times norm and factor where there is a norm."""
    factors = splat(b, factor)
    halves = []
    for i in range(2):
        half = cgutils.alloca_once_value(b, at(b, x, 64 * i, FLOATS))
        with b.if_then(b.icmp_signed("!=", norm, number(0))):
            weighted = b.fmul(b.load(half), at(b, norm, 64 * i, FLOATS))
            b.store(b.fmul(weighted, factors), half)
        halves.append(b.load(half))
    return halves


@intrinsic  # type: ignore[untyped-decorator]
def round_group(
    typing: Any, x: Any, norm: Any, factor: Any, high: Any, low: Any, scale: Any, sum_: Any
) -> Any:
    """32 floats (x·norm·factor if there is a norm) as 256·high + low, their scale and the sum of what they became."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        x, norm, factor, high, low, scale, sum_ = arguments
        halves = _weighted(b, x, norm, factor)
        sizes = [call(b, "llvm.fabs.v16f32", FLOATS, half) for half in halves]
        largest = call(
            b, "llvm.vector.reduce.fmax.v16f32", FLOAT,
            call(b, "llvm.maxnum.v16f32", FLOATS, *sizes),
        )  # fmt: skip
        largest = call(b, "llvm.maxnum.f32", FLOAT, largest, ir.Constant(FLOAT, 1e-30))
        step = b.fdiv(largest, ir.Constant(FLOAT, 32512.0))
        inverse = splat(b, b.fdiv(ir.Constant(FLOAT, 32512.0), largest))
        total = every(FLOATS, 0.0)
        bytes_ = ir.VectorType(I8, 16)
        for i, half in enumerate(halves):
            rounded = call(b, "llvm.rint.v16f32", FLOATS, b.fmul(half, inverse))
            total = b.fadd(total, rounded)
            whole = b.fptosi(rounded, INTS)
            top = b.ashr(b.add(whole, every(INTS, 128)), every(INTS, 8))
            put(b, b.trunc(top, bytes_), high, 16 * i)
            put(b, b.trunc(b.sub(whole, b.shl(top, every(INTS, 8))), bytes_), low, 16 * i)
        put(b, step, scale, 0)
        put(b, b.fmul(lane_sum(b, total), step), sum_, 0)
        return context.get_dummy_value()

    four = types.int64
    return types.void(four, four, types.float32, four, four, four, four), generate

"""Operations on vectors of 16·n floats for compiled code; knows addresses, and no model."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from anima.trunk.fast_lanes import (
    FLOAT,
    FLOATS,
    INTS,
    Builder,
    Value,
    at,
    call,
    every,
    exponential,
    fma,
    lane_sum,
    lane_sums,
    number,
    put,
    splat,
)


@intrinsic  # type: ignore[untyped-decorator]
def dot(typing: Any, x: Any, y: Any, vectors: Any) -> Any:
    """Σ x·y over 16·vectors floats."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        x, y, vectors = arguments
        total = cgutils.alloca_once_value(b, every(FLOATS, 0.0))
        with cgutils.for_range(b, vectors) as loop:
            place = b.mul(loop.index, number(64))
            parts = (at(b, x, place, FLOATS), at(b, y, place, FLOATS))
            b.store(fma(b, *parts, b.load(total)), total)
        return lane_sum(b, b.load(total))

    return types.float32(types.int64, types.int64, types.int64), generate


def _unrolled(b: Builder, vectors: Value, write: Callable[[int | None], None]) -> None:
    """Write code once for heads of 64, once for heads of 128, and once for any other width."""
    with b.if_else(b.icmp_signed("==", vectors, number(4))) as (usual, otherwise):
        with usual:
            write(4)
        with otherwise, b.if_else(b.icmp_signed("==", vectors, number(8))) as (wide, any_other):
            with wide:
                write(8)
            with any_other:
                write(None)


@intrinsic  # type: ignore[untyped-decorator]
def scores(typing: Any, query: Any, keys: Any, out: Any, count: Any, vectors: Any) -> Any:
    """out[t] = query · keys[t] over `count` neighbouring keys of 16·vectors floats each."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        query, keys, out, count, vectors = arguments
        size = b.mul(vectors, number(64))

        def product(parts: list[Value], key: Value) -> Value:
            total = b.fmul(parts[0], at(b, key, 0, FLOATS))
            for i in range(1, len(parts)):
                total = fma(b, parts[i], at(b, key, 64 * i, FLOATS), total)
            return total

        def fixed(width: int) -> None:
            parts = [at(b, query, 64 * i, FLOATS) for i in range(width)]
            whole = b.and_(count, number(-16))
            with cgutils.for_range_slice(b, number(0), whole, number(16)) as (t, _):
                key = b.add(keys, b.mul(t, size))
                sums = lane_sums(b, lambda i: product(parts, b.add(key, number(64 * width * i))))
                put(b, sums, out, b.mul(t, number(4)))
            with cgutils.for_range_slice(b, whole, count, number(1)) as (t, _):
                total = product(parts, b.add(keys, b.mul(t, size)))
                put(b, lane_sum(b, total), out, b.mul(t, number(4)))

        def general() -> None:
            total = cgutils.alloca_once(b, FLOATS)
            with cgutils.for_range(b, count) as loop:
                key = b.add(keys, b.mul(loop.index, size))
                b.store(every(FLOATS, 0.0), total)
                with cgutils.for_range(b, vectors) as inner:
                    place = b.mul(inner.index, number(64))
                    parts = (at(b, query, place, FLOATS), at(b, key, place, FLOATS))
                    b.store(fma(b, *parts, b.load(total)), total)
                put(b, lane_sum(b, b.load(total)), out, b.mul(loop.index, number(4)))

        _unrolled(b, vectors, lambda width: fixed(width) if width else general())
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic  # type: ignore[untyped-decorator]
def mix(typing: Any, shares: Any, values: Any, out: Any, count: Any, vectors: Any) -> Any:
    """out += Σ_t shares[t]·values[t] over `count` neighbouring values of 16·vectors floats."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        shares, values, out, count, vectors = arguments
        size = b.mul(vectors, number(64))

        def some(start: Value, width: int) -> None:
            place = b.add(out, b.mul(start, number(64)))
            sums = [cgutils.alloca_once(b, FLOATS) for _ in range(width)]
            for i, sum_ in enumerate(sums):
                b.store(at(b, place, 64 * i, FLOATS), sum_)
            with cgutils.for_range(b, count) as loop:
                share = splat(b, at(b, shares, b.mul(loop.index, number(4)), FLOAT))
                value = b.add(values, b.mul(loop.index, size))
                value = b.add(value, b.mul(start, number(64)))
                for i, sum_ in enumerate(sums):
                    b.store(fma(b, share, at(b, value, 64 * i, FLOATS), b.load(sum_)), sum_)
            for i, sum_ in enumerate(sums):
                put(b, b.load(sum_), place, 64 * i)

        def general() -> None:
            with cgutils.for_range(b, vectors) as loop:
                some(loop.index, 1)

        _unrolled(b, vectors, lambda width: some(number(0), width) if width else general())
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic  # type: ignore[untyped-decorator]
def exponentials(typing: Any, x: Any, vectors: Any) -> Any:
    """x ← e^(x − max x) over 16·vectors floats; returns their sum."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        x, vectors = arguments
        most = cgutils.alloca_once_value(b, every(FLOATS, -3e38))
        with cgutils.for_range(b, vectors) as loop:
            value = at(b, x, b.mul(loop.index, number(64)), FLOATS)
            b.store(call(b, "llvm.maxnum.v16f32", FLOATS, b.load(most), value), most)
        largest = splat(b, call(b, "llvm.vector.reduce.fmax.v16f32", FLOAT, b.load(most)))
        total = cgutils.alloca_once_value(b, every(FLOATS, 0.0))
        with cgutils.for_range(b, vectors) as loop:
            place = b.mul(loop.index, number(64))
            value = exponential(b, b.fsub(at(b, x, place, FLOATS), largest))
            put(b, value, x, place)
            b.store(b.fadd(b.load(total), value), total)
        return lane_sum(b, b.load(total))

    return types.float32(types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def gated(typing: Any, gate: Any, up: Any, out: Any) -> Any:
    """out = gate / (1 + e^−gate) · up, 16 floats."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        gate, up, out = arguments
        x = at(b, gate, 0, FLOATS)
        minus = exponential(b, b.fneg(x))
        share = b.fdiv(x, b.fadd(minus, every(FLOATS, 1.0)))
        put(b, b.fmul(share, at(b, up, 0, FLOATS)), out, 0)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def turned(typing: Any, x: Any, turns: Any, scale: Any, out: Any, vectors: Any) -> Any:
    """out = neighbouring pairs of x, rotated by their (cos, sin) and scaled; 16·vectors floats."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        x, turns, scale, out, vectors = arguments
        swapped = ir.Constant(INTS, [lane ^ 1 for lane in range(16)])
        cosines = ir.Constant(INTS, [lane & ~1 for lane in range(16)])
        sines = ir.Constant(INTS, [lane | 1 for lane in range(16)])
        signs = ir.Constant(FLOATS, [-1.0, 1.0] * 8)
        scales = splat(b, scale)
        with cgutils.for_range(b, vectors) as loop:
            place = b.mul(loop.index, number(64))
            value = b.fmul(at(b, x, place, FLOATS), scales)
            turn = at(b, turns, place, FLOATS)
            other = b.fmul(b.shuffle_vector(value, value, swapped), signs)
            straight = b.fmul(value, b.shuffle_vector(turn, turn, cosines))
            put(b, fma(b, other, b.shuffle_vector(turn, turn, sines), straight), out, place)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(whole, whole, types.float32, whole, whole), generate


@intrinsic  # type: ignore[untyped-decorator]
def scaled(typing: Any, x: Any, factor: Any, out: Any, vectors: Any) -> Any:
    """out = x·factor over 16·vectors floats."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        x, factor, out, vectors = arguments
        factors = splat(b, factor)
        with cgutils.for_range(b, vectors) as loop:
            place = b.mul(loop.index, number(64))
            put(b, b.fmul(at(b, x, place, FLOATS), factors), out, place)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def filled(typing: Any, out: Any, value: Any, vectors: Any) -> Any:
    """One number in 16·vectors floats."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        out, value, vectors = arguments
        values = splat(b, value)
        with cgutils.for_range(b, vectors) as loop:
            put(b, values, out, b.mul(loop.index, number(64)))
        return context.get_dummy_value()

    return types.void(types.int64, types.float32, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def added(typing: Any, x: Any, y: Any, count: Any) -> Any:
    """x += y over any number of floats."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        x, y, count = arguments
        whole = b.and_(count, number(-16))
        for kind, first, last, step in (
            (FLOATS, number(0), whole, 16), (FLOAT, whole, count, 1),
        ):  # fmt: skip
            with cgutils.for_range_slice(b, first, last, number(step)) as (index, _):
                place = b.mul(index, number(4))
                put(b, b.fadd(at(b, x, place, kind), at(b, y, place, kind)), x, place)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def float_at(typing: Any, address: Any) -> Any:
    """The float at an address."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        return at(b, arguments[0], 0, FLOAT)

    return types.float32(types.int64), generate

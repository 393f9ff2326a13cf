"""Vector operations for compiled code, in LLVM's own terms; knows addresses, and no model.

LLVM lowers them to what this CPU has. Weights come in blocks of 16 rows (`fast_kernels.Blocks`), activations
as 16-bit integers in two signed bytes, x̂ = scale·(256·high + low) with one scale for 32 of them:
products are then sums of whole numbers, and what rounding loses is 1.5e-5 of the largest of the 32.
Where the CPU multiplies four bytes into one sum in one instruction (AVX-512 VNNI, AVX-VNNI) it
does; elsewhere the same sums are made of float32 products, exact as well because no partial sum
reaches 2²⁴. Every address is an integer, every operand 16 floats wide.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

GROUP = 32
ROWS = 16
"""Rows of a matrix in one block: one per lane of a vector."""
BLOCK_BYTES = {4: 320, 8: 544}
"""Bytes of one block of 16 rows over one group of 32 columns, by bits of a weight."""

Address = int
Builder = Any
Value = Any

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_FLOAT = ir.FloatType()
_INTS, _FLOATS, _HALVES, _BYTES = (
    ir.VectorType(_I32, 16), ir.VectorType(_FLOAT, 16), ir.VectorType(ir.HalfType(), 16),
    ir.VectorType(_I8, 64),
)  # fmt: skip


def instructions() -> str:
    """How this CPU multiplies bytes: vnni512, vnni256 or plain."""
    found = llvmlite.binding.get_host_cpu_features()
    if found.get("avx512vnni") and found.get("avx512bw"):
        return "vnni512"
    return "vnni256" if found.get("avxvnni") else "plain"


def _whole(number: int) -> Value:
    return ir.Constant(_I64, number)


def _every(kind: Value, number: float) -> Value:
    return ir.Constant(kind, [number] * kind.count)


def _at(b: Builder, address: Value, offset: Value | int, kind: Value) -> Value:
    """What lies `offset` bytes after an address, with no promise of alignment."""
    offset = _whole(offset) if isinstance(offset, int) else offset
    loaded = b.load(b.inttoptr(b.add(address, offset), kind.as_pointer()))
    loaded.align = 1
    return loaded


def _put(b: Builder, value: Value, address: Value, offset: Value | int) -> None:
    offset = _whole(offset) if isinstance(offset, int) else offset
    stored = b.store(value, b.inttoptr(b.add(address, offset), value.type.as_pointer()))
    stored.align = 1


def _splat(b: Builder, value: Value) -> Value:
    """One number in all 16 lanes."""
    kind = ir.VectorType(value.type, 16)
    one = b.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_I32, 0))
    return b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), _every(_INTS, 0))


def _call(b: Builder, name: str, kind: Value, *arguments: Value) -> Value:
    signature = ir.FunctionType(kind, [argument.type for argument in arguments])
    return b.call(cgutils.get_or_insert_function(b.module, signature, name), arguments)


def _fma(b: Builder, x: Value, y: Value, z: Value) -> Value:
    return _call(b, "llvm.fma.v16f32", _FLOATS, x, y, z)


def _total(b: Builder, x: Value) -> Value:
    """The sum of 16 lanes, in an order of LLVM's choice."""
    add = cgutils.get_or_insert_function(
        b.module, ir.FunctionType(_FLOAT, [_FLOAT, _FLOATS]), "llvm.vector.reduce.fadd.v16f32"
    )
    return b.call(add, [ir.Constant(_FLOAT, -0.0), x], fastmath=("reassoc",))


def _totals(b: Builder, make: Callable[[int], Value], first: int = 0, bit: int = 3) -> Value:
    """Lane i is the sum of the lanes of make(i), made in order: a tree of 15 additions for 16."""
    if bit < 0:
        return make(first)
    left = _totals(b, make, first, bit - 1)
    right = _totals(b, make, first + (1 << bit), bit - 1)
    chosen = [
        16 * (lane >> bit & 1) for lane in range(16)
    ]  # the left vector's lanes or the right's
    low = [start + (lane & ~(1 << bit)) for lane, start in enumerate(chosen)]
    high = [start + (lane | 1 << bit) for lane, start in enumerate(chosen)]
    return b.fadd(
        b.shuffle_vector(left, right, ir.Constant(_INTS, low)),
        b.shuffle_vector(left, right, ir.Constant(_INTS, high)),
    )


def _exponential(b: Builder, x: Value) -> Value:
    """eˣ in each lane to a relative error below 2e-7 (x = n·ln 2 + r, a polynomial in r)."""
    x = _call(b, "llvm.maxnum.v16f32", _FLOATS, x, _every(_FLOATS, -87.0))
    x = _call(b, "llvm.minnum.v16f32", _FLOATS, x, _every(_FLOATS, 88.0))
    n = _call(b, "llvm.rint.v16f32", _FLOATS, b.fmul(x, _every(_FLOATS, 1.4426950408889634)))
    r = _fma(b, n, _every(_FLOATS, -0.693145751953125), x)
    r = _fma(b, n, _every(_FLOATS, -1.428606765330187e-06), r)
    y = _every(_FLOATS, 1 / 5040)
    for coefficient in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        y = _fma(b, y, r, _every(_FLOATS, coefficient))
    power = b.shl(b.add(b.fptosi(n, _INTS), _every(_INTS, 127)), _every(_INTS, 23))
    return b.fmul(y, b.bitcast(power, _FLOATS))


def _dot_of_bytes(b: Builder, how: str, total: Value, weights: Value, x: Value) -> Value:
    """total + Σ of four products in each lane: weights unsigned bytes, x signed ones."""
    if how == "vnni512":
        return _call(b, "llvm.x86.avx512.vpdpbusd.512", _INTS, total, weights, x)
    if how == "vnni256":
        halves = []
        kind = ir.VectorType(_I32, 8)
        for start in (0, 8):
            lanes = ir.Constant(kind, list(range(start, start + 8)))
            parts = [b.shuffle_vector(value, value, lanes) for value in (total, weights, x)]
            halves.append(_call(b, "llvm.x86.avx512.vpdpbusd.256", kind, *parts))
        return b.shuffle_vector(*halves, ir.Constant(_INTS, list(range(16))))
    for byte in range(4):
        weight = b.and_(b.lshr(weights, _every(_INTS, 8 * byte)), _every(_INTS, 255))
        signed = b.ashr(b.shl(x, _every(_INTS, 24 - 8 * byte)), _every(_INTS, 24))
        total = _fma(b, b.sitofp(weight, _FLOATS), b.sitofp(signed, _FLOATS), total)
    return total


def _quads(b: Builder, base: Value, bits: int) -> list[tuple[Value, int]]:
    """The weights of a block and group as vectors of four columns by 16 rows, and where those are.

    Four bits: byte c of piece k holds columns 4k+c and 16+4k+c, as GGUF's Q4_1 pairs them.
    """
    if bits == 8:
        return [(_at(b, base, 64 * k, _INTS), 4 * k) for k in range(8)]
    found = []
    low = _every(_BYTES, 15)
    words = ir.VectorType(_I16, 32)
    for k in range(4):
        both = _at(b, base, 64 * k, _BYTES)
        high = b.bitcast(b.lshr(b.bitcast(both, words), _every(words, 4)), _BYTES)
        found.append((b.bitcast(b.and_(both, low), _INTS), 4 * k))
        found.append((b.bitcast(b.and_(high, low), _INTS), 16 + 4 * k))
    return found


def block_product(bits: int, tokens: int, how: str) -> Callable[..., None]:
    """The product of one block of 16 rows with so many tokens, as a function for compiled code.

    `(weights, high, low, scales, sums, out, groups, stride, add)`: addresses, but for the counts
    and `add`, which says whether the products are added to what is there. high and low int8
    [tokens, 32·groups], scales and sums (Σ x̂ of a group) float32 [tokens, groups]; out is the
    first of 16 neighbouring floats of each token, `stride` floats apart.
    """
    kind = _FLOATS if how == "plain" else _INTS

    def group(b: Builder, arguments: tuple[Value, ...], g: Value, sums: list[Value]) -> None:
        weights, high, low, scales, totals, _, groups, _, _ = arguments
        base = b.add(weights, b.mul(g, _whole(BLOCK_BYTES[bits])))
        tops, bottoms = ([_every(kind, 0)] * tokens for _ in range(2))
        columns = [b.mul(b.add(b.mul(groups, _whole(m)), g), _whole(GROUP)) for m in range(tokens)]
        for quad, column in _quads(b, base, bits):
            for m in range(tokens):
                place = b.add(columns[m], _whole(column))
                x = _splat(b, _at(b, high, place, _I32))
                tops[m] = _dot_of_bytes(b, how, tops[m], quad, x)
                x = _splat(b, _at(b, low, place, _I32))
                bottoms[m] = _dot_of_bytes(b, how, bottoms[m], quad, x)
        steps = b.fpext(
            _at(b, base, BLOCK_BYTES[bits] - (64 if bits == 4 else 32), _HALVES), _FLOATS
        )
        for m in range(tokens):
            place = b.mul(b.add(g, b.mul(groups, _whole(m))), _whole(4))
            product = b.fmul(
                whole(b, tops[m], bottoms[m]), _splat(b, _at(b, scales, place, _FLOAT))
            )
            total = _splat(b, _at(b, totals, place, _FLOAT))
            if bits == 8:  # the bytes are 128 too large
                product = _fma(b, total, _every(_FLOATS, -128.0), product)
            sum_ = _fma(b, product, steps, b.load(sums[m]))
            if bits == 4:
                least = b.fpext(_at(b, base, BLOCK_BYTES[bits] - 32, _HALVES), _FLOATS)
                sum_ = _fma(b, least, total, sum_)
            b.store(sum_, sums[m])

    def whole(b: Builder, top: Value, bottom: Value) -> Value:
        if how == "plain":
            return _fma(b, top, _every(_FLOATS, 256.0), bottom)
        return b.sitofp(b.add(b.shl(top, _every(_INTS, 8)), bottom), _FLOATS)

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        sums = [cgutils.alloca_once_value(b, _every(_FLOATS, 0.0)) for _ in range(tokens)]
        out, groups, stride, add = arguments[5:]
        with cgutils.for_range(b, groups) as loop:
            group(b, arguments, loop.index, sums)
        for m in range(tokens):
            place = b.mul(stride, _whole(4 * m))
            there = b.select(
                b.icmp_signed("!=", add, _whole(0)), _at(b, out, place, _FLOATS),
                _every(_FLOATS, 0.0),
            )  # fmt: skip
            _put(b, b.fadd(there, b.load(sums[m])), out, place)
        return context.get_dummy_value()

    @intrinsic  # type: ignore[untyped-decorator]
    def product(
        typing: Any, weights: Any, high: Any, low: Any, scales: Any, sums: Any, out: Any,
        groups: Any, stride: Any, add: Any,
    ) -> Any:  # fmt: skip
        return types.void(*[types.int64] * 9), generate

    made: Callable[..., None] = product
    return made


@intrinsic  # type: ignore[untyped-decorator]
def round_group(
    typing: Any, x: Any, norm: Any, factor: Any, high: Any, low: Any, scale: Any, sum_: Any
) -> Any:
    """32 floats (x·norm·factor if there is a norm) as 256·high + low, their scale and the sum of what they became."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        x, norm, factor, high, low, scale, sum_ = arguments
        factors = _splat(b, factor)
        halves = []
        for i in range(2):
            half = cgutils.alloca_once_value(b, _at(b, x, 64 * i, _FLOATS))
            with b.if_then(b.icmp_signed("!=", norm, _whole(0))):
                weighted = b.fmul(b.load(half), _at(b, norm, 64 * i, _FLOATS))
                b.store(b.fmul(weighted, factors), half)
            halves.append(b.load(half))
        sizes = [_call(b, "llvm.fabs.v16f32", _FLOATS, half) for half in halves]
        largest = _call(
            b, "llvm.vector.reduce.fmax.v16f32", _FLOAT,
            _call(b, "llvm.maxnum.v16f32", _FLOATS, *sizes),
        )  # fmt: skip
        largest = _call(b, "llvm.maxnum.f32", _FLOAT, largest, ir.Constant(_FLOAT, 1e-30))
        step = b.fdiv(largest, ir.Constant(_FLOAT, 32512.0))
        inverse = _splat(b, b.fdiv(ir.Constant(_FLOAT, 32512.0), largest))
        total = _every(_FLOATS, 0.0)
        bytes_ = ir.VectorType(_I8, 16)
        for i, half in enumerate(halves):
            rounded = _call(b, "llvm.rint.v16f32", _FLOATS, b.fmul(half, inverse))
            total = b.fadd(total, rounded)
            number = b.fptosi(rounded, _INTS)
            top = b.ashr(b.add(number, _every(_INTS, 128)), _every(_INTS, 8))
            _put(b, b.trunc(top, bytes_), high, 16 * i)
            _put(b, b.trunc(b.sub(number, b.shl(top, _every(_INTS, 8))), bytes_), low, 16 * i)
        _put(b, step, scale, 0)
        _put(b, b.fmul(_total(b, total), step), sum_, 0)
        return context.get_dummy_value()

    four = types.int64
    return types.void(four, four, types.float32, four, four, four, four), generate


@intrinsic  # type: ignore[untyped-decorator]
def dot(typing: Any, x: Any, y: Any, vectors: Any) -> Any:
    """Σ x·y over 16·vectors floats."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        x, y, vectors = arguments
        total = cgutils.alloca_once_value(b, _every(_FLOATS, 0.0))
        with cgutils.for_range(b, vectors) as loop:
            place = b.mul(loop.index, _whole(64))
            parts = (_at(b, x, place, _FLOATS), _at(b, y, place, _FLOATS))
            b.store(_fma(b, *parts, b.load(total)), total)
        return _total(b, b.load(total))

    return types.float32(types.int64, types.int64, types.int64), generate


def _unrolled(b: Builder, vectors: Value, write: Callable[[int | None], None]) -> None:
    """Write code once for heads of 64, once for heads of 128, and once for any other width."""
    with b.if_else(b.icmp_signed("==", vectors, _whole(4))) as (usual, otherwise):
        with usual:
            write(4)
        with otherwise, b.if_else(b.icmp_signed("==", vectors, _whole(8))) as (wide, any_other):
            with wide:
                write(8)
            with any_other:
                write(None)


@intrinsic  # type: ignore[untyped-decorator]
def scores(typing: Any, query: Any, keys: Any, out: Any, count: Any, vectors: Any) -> Any:
    """out[t] = query · keys[t] over `count` neighbouring keys of 16·vectors floats each."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        query, keys, out, count, vectors = arguments
        size = b.mul(vectors, _whole(64))

        def product(parts: list[Value], key: Value) -> Value:
            total = b.fmul(parts[0], _at(b, key, 0, _FLOATS))
            for i in range(1, len(parts)):
                total = _fma(b, parts[i], _at(b, key, 64 * i, _FLOATS), total)
            return total

        def fixed(width: int) -> None:
            parts = [_at(b, query, 64 * i, _FLOATS) for i in range(width)]
            whole = b.and_(count, _whole(-16))
            with cgutils.for_range_slice(b, _whole(0), whole, _whole(16)) as (t, _):
                key = b.add(keys, b.mul(t, size))
                sums = _totals(b, lambda i: product(parts, b.add(key, _whole(64 * width * i))))
                _put(b, sums, out, b.mul(t, _whole(4)))
            with cgutils.for_range_slice(b, whole, count, _whole(1)) as (t, _):
                total = product(parts, b.add(keys, b.mul(t, size)))
                _put(b, _total(b, total), out, b.mul(t, _whole(4)))

        def general() -> None:
            total = cgutils.alloca_once(b, _FLOATS)
            with cgutils.for_range(b, count) as loop:
                key = b.add(keys, b.mul(loop.index, size))
                b.store(_every(_FLOATS, 0.0), total)
                with cgutils.for_range(b, vectors) as inner:
                    place = b.mul(inner.index, _whole(64))
                    parts = (_at(b, query, place, _FLOATS), _at(b, key, place, _FLOATS))
                    b.store(_fma(b, *parts, b.load(total)), total)
                _put(b, _total(b, b.load(total)), out, b.mul(loop.index, _whole(4)))

        _unrolled(b, vectors, lambda width: fixed(width) if width else general())
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic  # type: ignore[untyped-decorator]
def mix(typing: Any, shares: Any, values: Any, out: Any, count: Any, vectors: Any) -> Any:
    """out += Σ_t shares[t]·values[t] over `count` neighbouring values of 16·vectors floats."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        shares, values, out, count, vectors = arguments
        size = b.mul(vectors, _whole(64))

        def some(start: Value, width: int) -> None:
            place = b.add(out, b.mul(start, _whole(64)))
            sums = [cgutils.alloca_once(b, _FLOATS) for _ in range(width)]
            for i, sum_ in enumerate(sums):
                b.store(_at(b, place, 64 * i, _FLOATS), sum_)
            with cgutils.for_range(b, count) as loop:
                share = _splat(b, _at(b, shares, b.mul(loop.index, _whole(4)), _FLOAT))
                value = b.add(values, b.mul(loop.index, size))
                value = b.add(value, b.mul(start, _whole(64)))
                for i, sum_ in enumerate(sums):
                    b.store(_fma(b, share, _at(b, value, 64 * i, _FLOATS), b.load(sum_)), sum_)
            for i, sum_ in enumerate(sums):
                _put(b, b.load(sum_), place, 64 * i)

        def general() -> None:
            with cgutils.for_range(b, vectors) as loop:
                some(loop.index, 1)

        _unrolled(b, vectors, lambda width: some(_whole(0), width) if width else general())
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic  # type: ignore[untyped-decorator]
def exponentials(typing: Any, x: Any, vectors: Any) -> Any:
    """x ← e^(x − max x) over 16·vectors floats; returns their sum."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        x, vectors = arguments
        most = cgutils.alloca_once_value(b, _every(_FLOATS, -3e38))
        with cgutils.for_range(b, vectors) as loop:
            value = _at(b, x, b.mul(loop.index, _whole(64)), _FLOATS)
            b.store(_call(b, "llvm.maxnum.v16f32", _FLOATS, b.load(most), value), most)
        largest = _splat(b, _call(b, "llvm.vector.reduce.fmax.v16f32", _FLOAT, b.load(most)))
        total = cgutils.alloca_once_value(b, _every(_FLOATS, 0.0))
        with cgutils.for_range(b, vectors) as loop:
            place = b.mul(loop.index, _whole(64))
            value = _exponential(b, b.fsub(_at(b, x, place, _FLOATS), largest))
            _put(b, value, x, place)
            b.store(b.fadd(b.load(total), value), total)
        return _total(b, b.load(total))

    return types.float32(types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def gated(typing: Any, gate: Any, up: Any, out: Any) -> Any:
    """out = gate / (1 + e^−gate) · up, 16 floats."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        gate, up, out = arguments
        x = _at(b, gate, 0, _FLOATS)
        minus = _exponential(b, b.fneg(x))
        share = b.fdiv(x, b.fadd(minus, _every(_FLOATS, 1.0)))
        _put(b, b.fmul(share, _at(b, up, 0, _FLOATS)), out, 0)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def add_one(typing: Any, address: Any) -> Any:
    """The counter at an address before one was added to it, in one step for all threads."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        place = b.inttoptr(arguments[0], _I64.as_pointer())
        return b.atomic_rmw("add", place, _whole(1), "seq_cst")

    return types.int64(types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def seen(typing: Any, address: Any) -> Any:
    """The counter at an address, and all that was written before it got there."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        place = b.inttoptr(arguments[0], _I64.as_pointer())
        return b.load_atomic(place, ordering="seq_cst", align=8)

    return types.int64(types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def turned(typing: Any, x: Any, turns: Any, scale: Any, out: Any, vectors: Any) -> Any:
    """out = neighbouring pairs of x, rotated by their (cos, sin) and scaled; 16·vectors floats."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        x, turns, scale, out, vectors = arguments
        swapped = ir.Constant(_INTS, [lane ^ 1 for lane in range(16)])
        cosines = ir.Constant(_INTS, [lane & ~1 for lane in range(16)])
        sines = ir.Constant(_INTS, [lane | 1 for lane in range(16)])
        signs = ir.Constant(_FLOATS, [-1.0, 1.0] * 8)
        scales = _splat(b, scale)
        with cgutils.for_range(b, vectors) as loop:
            place = b.mul(loop.index, _whole(64))
            value = b.fmul(_at(b, x, place, _FLOATS), scales)
            turn = _at(b, turns, place, _FLOATS)
            other = b.fmul(b.shuffle_vector(value, value, swapped), signs)
            straight = b.fmul(value, b.shuffle_vector(turn, turn, cosines))
            _put(b, _fma(b, other, b.shuffle_vector(turn, turn, sines), straight), out, place)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(whole, whole, types.float32, whole, whole), generate


@intrinsic  # type: ignore[untyped-decorator]
def scaled(typing: Any, x: Any, factor: Any, out: Any, vectors: Any) -> Any:
    """out = x·factor over 16·vectors floats."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        x, factor, out, vectors = arguments
        factors = _splat(b, factor)
        with cgutils.for_range(b, vectors) as loop:
            place = b.mul(loop.index, _whole(64))
            _put(b, b.fmul(_at(b, x, place, _FLOATS), factors), out, place)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def filled(typing: Any, out: Any, value: Any, vectors: Any) -> Any:
    """One number in 16·vectors floats."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        out, value, vectors = arguments
        values = _splat(b, value)
        with cgutils.for_range(b, vectors) as loop:
            _put(b, values, out, b.mul(loop.index, _whole(64)))
        return context.get_dummy_value()

    return types.void(types.int64, types.float32, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def added(typing: Any, x: Any, y: Any, count: Any) -> Any:
    """x += y over any number of floats."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        x, y, count = arguments
        whole = b.and_(count, _whole(-16))
        for kind, first, last, step in (
            (_FLOATS, _whole(0), whole, 16), (_FLOAT, whole, count, 1),
        ):  # fmt: skip
            with cgutils.for_range_slice(b, first, last, _whole(step)) as (index, _):
                place = b.mul(index, _whole(4))
                _put(b, b.fadd(_at(b, x, place, kind), _at(b, y, place, kind)), x, place)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def float_at(typing: Any, address: Any) -> Any:
    """The float at an address."""

    def generate(context: Any, b: Builder, _: Any, arguments: tuple[Value, ...]) -> Value:
        return _at(b, arguments[0], 0, _FLOAT)

    return types.float32(types.int64), generate

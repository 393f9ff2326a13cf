"""Sixteen numbers at once in LLVM's own terms: read, write, add up; knows addresses, and no model.

Functions here write instructions through a builder `b`; LLVM lowers them to what this CPU has. Every
address is an integer, every operand 16 floats wide.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

Builder = Any
Value = Any

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
FLOAT = ir.FloatType()
INTS, FLOATS, HALVES, BYTES = (
    ir.VectorType(I32, 16), ir.VectorType(FLOAT, 16), ir.VectorType(ir.HalfType(), 16),
    ir.VectorType(I8, 64),
)  # fmt: skip


def number(value: int) -> Value:
    """A whole number of 64 bits: an address, an offset, a count."""
    return ir.Constant(I64, value)


def every(kind: Value, value: float) -> Value:
    """A constant in all lanes of a kind of vector."""
    return ir.Constant(kind, [value] * kind.count)


def at(b: Builder, address: Value, offset: Value | int, kind: Value) -> Value:
    """What lies `offset` bytes after an address, with no promise of alignment."""
    offset = number(offset) if isinstance(offset, int) else offset
    loaded = b.load(b.inttoptr(b.add(address, offset), kind.as_pointer()))
    loaded.align = 1
    return loaded


def put(b: Builder, value: Value, address: Value, offset: Value | int) -> None:
    """Store a value `offset` bytes after an address, with no promise of alignment."""
    offset = number(offset) if isinstance(offset, int) else offset
    stored = b.store(value, b.inttoptr(b.add(address, offset), value.type.as_pointer()))
    stored.align = 1


def splat(b: Builder, value: Value) -> Value:
    """One number in all 16 lanes."""
    kind = ir.VectorType(value.type, 16)
    one = b.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(I32, 0))
    return b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), every(INTS, 0))


def call(b: Builder, name: str, kind: Value, *arguments: Value) -> Value:
    """What LLVM's function of that name returns, of that kind."""
    signature = ir.FunctionType(kind, [argument.type for argument in arguments])
    return b.call(cgutils.get_or_insert_function(b.module, signature, name), arguments)


def fma(b: Builder, x: Value, y: Value, z: Value) -> Value:
    """x·y + z in each lane, rounded once."""
    return call(b, "llvm.fma.v16f32", FLOATS, x, y, z)


def lane_sum(b: Builder, x: Value) -> Value:
    """The sum of 16 lanes, in an order of LLVM's choice."""
    add = cgutils.get_or_insert_function(
        b.module, ir.FunctionType(FLOAT, [FLOAT, FLOATS]), "llvm.vector.reduce.fadd.v16f32"
    )
    return b.call(add, [ir.Constant(FLOAT, -0.0), x], fastmath=("reassoc",))


def lane_sums(b: Builder, make: Callable[[int], Value], first: int = 0, bit: int = 3) -> Value:
    """Lane i is the sum of the lanes of make(i), made in order: a tree of 15 additions for 16."""
    if bit < 0:
        return make(first)
    left = lane_sums(b, make, first, bit - 1)
    right = lane_sums(b, make, first + (1 << bit), bit - 1)
    chosen = [
        16 * (lane >> bit & 1) for lane in range(16)
    ]  # the left vector's lanes or the right's
    low = [start + (lane & ~(1 << bit)) for lane, start in enumerate(chosen)]
    high = [start + (lane | 1 << bit) for lane, start in enumerate(chosen)]
    return b.fadd(
        b.shuffle_vector(left, right, ir.Constant(INTS, low)),
        b.shuffle_vector(left, right, ir.Constant(INTS, high)),
    )


def exponential(b: Builder, x: Value) -> Value:
    """eˣ in each lane to a relative error below 2e-7 (x = n·ln 2 + r, a polynomial in r)."""
    x = call(b, "llvm.maxnum.v16f32", FLOATS, x, every(FLOATS, -87.0))
    x = call(b, "llvm.minnum.v16f32", FLOATS, x, every(FLOATS, 88.0))
    n = call(b, "llvm.rint.v16f32", FLOATS, b.fmul(x, every(FLOATS, 1.4426950408889634)))
    r = fma(b, n, every(FLOATS, -0.693145751953125), x)
    r = fma(b, n, every(FLOATS, -1.428606765330187e-06), r)
    y = every(FLOATS, 1 / 5040)
    for coefficient in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        y = fma(b, y, r, every(FLOATS, coefficient))
    power = b.shl(b.add(b.fptosi(n, INTS), every(INTS, 127)), every(INTS, 23))
    return b.fmul(y, b.bitcast(power, FLOATS))

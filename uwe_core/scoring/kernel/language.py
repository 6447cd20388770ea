"""Words of LLVM's language that the scoring kernel is written in: loops, vectors of 16 lanes, powers of two.

Vectors are the language's own, so each processor gets its widest instructions for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from llvmlite import ir

from uwe_core.scoring.packed_queries import LANES

POINTER = ir.PointerType()
INT8, INT16, INT32, INT64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
HALF, FLOAT = ir.HalfType(), ir.FloatType()
INTS = ir.VectorType(INT32, LANES)
FLOATS = ir.VectorType(FLOAT, LANES)
# Of each `dots`: tokens, scales, sums, rows, dim, queries, parts, components, query_scales, count, tiles, room, out.
DOTS_ARGUMENTS = (
    POINTER, POINTER, POINTER, INT64, INT64, POINTER, INT64, INT64, POINTER, INT64, INT64, POINTER, POINTER,
)  # fmt: skip

Value: TypeAlias = ir.Value
# The polynomial of 2^f for f in [0, 1] with the smallest largest relative error, 2e-9, and no error at 0.
_POWER_OF_TWO = (1.0, 0.69314706, 0.24022931, 0.055485282, 0.0096754516, 0.0012467846, 0.00021612915)
_EXPONENT_BIAS, _MANTISSA_BITS = 127, 23


class Code(ir.IRBuilder):  # type: ignore[misc]  # llvmlite has no types
    """A function under construction."""

    @contextmanager
    def loop(self, start: Value, stop: Value, step: int = 1) -> Iterator[Value]:
        """`for index in range(start, stop, step)`: what is emitted inside is its body."""
        place = self.variable(INT64, start)
        head, body, done = (self.append_basic_block(name) for name in ("head", "body", "done"))
        self.branch(head)
        self.position_at_end(head)
        index = self.load(place, typ=INT64)
        self.cbranch(self.icmp_signed("<", index, stop), body, done)
        self.position_at_end(body)
        yield index
        self.store(self.add(index, INT64(step)), place)
        self.branch(head)
        self.position_at_end(done)

    def variable(self, kind: ir.Type, start: Value) -> Value:
        """A named register; LLVM's passes turn the memory that it is here into one."""
        with self.goto_entry_block():
            place = self.alloca(kind)
        self.store(start, place)
        return place

    def at(self, base: Value, kind: ir.Type, index: Value) -> Value:
        """The address of entry `index` of an array of `kind`."""
        return self.gep(base, [index], source_etype=kind)

    def read(self, address: Value, kind: ir.Type) -> Value:
        """What lies at an address that need not be aligned."""
        return self.load(address, typ=kind, align=1)

    def write(self, value: Value, address: Value) -> None:
        """Store at an address that need not be aligned."""
        self.store(value, address, align=1)

    def get(self, place: Value, kind: ir.Type) -> Value:
        """The value of a variable."""
        return self.load(place, typ=kind)

    def splat(self, value: Value) -> Value:
        """All lanes alike."""
        kind = ir.VectorType(value.type, LANES)
        first = self.insert_element(ir.Constant(kind, ir.Undefined), value, INT32(0))
        zeros = ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES)
        return self.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)

    def pair_splat(self, pair: Value) -> Value:
        """A vector of two numbers, eight times over."""
        by_turns = ir.Constant(ir.VectorType(INT32, LANES), [lane % 2 for lane in range(LANES)])
        return self.shuffle_vector(pair, ir.Constant(pair.type, ir.Undefined), by_turns)

    def pair_sums(self, vector: Value) -> Value:
        """The sum of each two neighbours in the first eight lanes, and zeros."""
        half, undefined = LANES // 2, ir.Constant(vector.type, ir.Undefined)
        every_second = (ir.Constant(ir.VectorType(INT32, half), list(range(first, LANES, 2))) for first in (0, 1))
        even, odd = (self.shuffle_vector(vector, undefined, lanes) for lanes in every_second)
        sums = self.fadd(even, odd)
        filled = ir.Constant(ir.VectorType(INT32, LANES), list(range(LANES)))
        return self.shuffle_vector(sums, ir.Constant(sums.type, [FLOAT(0.0)] * half), filled)

    def prefetch(self, address: Value) -> None:
        """Ask for a line of memory that will be read soon; the address may lie behind the end of an array."""
        name = "llvm.prefetch.p0"
        function = self.module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(ir.VoidType(), [POINTER, INT32, INT32, INT32])
            function = ir.Function(self.module, kind, name)
        to_read, into_all_caches, data = INT32(0), INT32(3), INT32(1)
        self.call(function, [address, to_read, into_all_caches, data])

    def intrinsic(self, name: str, arguments: Sequence[Value]) -> Value:
        """Call one of LLVM's own functions on vectors; it returns the type of its first argument."""
        kinds = [argument.type for argument in arguments]
        function = self.module.globals.get(name)
        if function is None:
            function = ir.Function(self.module, ir.FunctionType(kinds[0], kinds), name)
        return self.call(function, arguments)

    def multiply_add(self, left: Value, right: Value, addend: Value) -> Value:
        """`left * right + addend`, rounded once."""
        return self.intrinsic("llvm.fma.v16f32", [left, right, addend])

    def larger(self, left: Value, right: Value) -> Value:
        """The larger of each lane."""
        return self.select(self.fcmp_ordered(">", left, right), left, right)

    def power_of_two(self, exponent: Value) -> Value:
        """2 to exponents between -126 and 0."""
        whole = self.intrinsic("llvm.floor.v16f32", [exponent])
        fraction = self.fsub(exponent, whole)
        power = constant(_POWER_OF_TWO[-1])
        for coefficient in reversed(_POWER_OF_TWO[:-1]):
            power = self.multiply_add(power, fraction, constant(coefficient))
        biased = self.add(self.fptosi(whole, INTS), int_constant(_EXPONENT_BIAS))
        return self.fmul(power, self.bitcast(self.shl(biased, int_constant(_MANTISSA_BITS)), FLOATS))


def constant(value: float) -> ir.Constant:
    """A vector of one number."""
    return ir.Constant(FLOATS, [FLOAT(value)] * LANES)


def int_constant(value: int) -> ir.Constant:
    """A vector of one whole number."""
    return ir.Constant(INTS, [INT32(value)] * LANES)


def new_function(module: ir.Module, name: str, *kinds: ir.Type) -> tuple[Code, list[Value]]:
    """An empty function that returns nothing, and its arguments."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    return Code(function.append_basic_block("entry")), list(function.args)

"""The scoring loop as machine code: written in LLVM's language and compiled for this processor when it is asked for.

Two functions. `dots` multiplies the tokens of some targets with all query tokens, into a buffer that stays in the
processor's cache; `scores` turns that buffer into the scores of those targets. Each stored token is read from memory
once. Lanes of a vector are query tokens, so targets may be ragged and nothing is summed across a vector.
"""

from __future__ import annotations

import ctypes
import math
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from llvmlite import binding, ir

from uwe_core.scoring.ir import (
    FLOAT,
    FLOATS,
    HALF,
    INT8,
    INT16,
    INT32,
    INT64,
    INTS,
    POINTER,
    Code,
    Value,
    constant,
    int_constant,
)
from uwe_core.scoring.packed_queries import HIGH, LANES
from uwe_core.token_storage import StorageType

KernelKind = Literal["soft_late_interaction", "max_sim"]

# A weight of e^-35 is nothing in float32; exponents far below cost many times as much, since they end in denormals.
SMALLEST_EXPONENT = -35 * math.log2(math.e)
_ELEMENTS: dict[StorageType, ir.Type] = {"float32": FLOAT, "bfloat16": INT16, "float16": HALF, "int8": INT8}
_INT_BYTES = 4


@dataclass(frozen=True)
class Kernel:
    """Compiled functions; their arguments are addresses and whole numbers, in the order of the builders below."""

    dots: Callable[..., None]
    scores: Callable[..., None]
    engine: binding.ExecutionEngine  # owns the machine code


@cache
def processor_features() -> frozenset[str]:
    """What this processor can do, in LLVM's names."""
    return frozenset(name for name, present in binding.get_host_cpu_features().items() if present)


def multiplies_int8() -> bool:
    """Whether this processor multiplies and adds four int8 at once (AVX-512 VNNI)."""
    return "avx512vnni" in processor_features()


def can_compile(storage: StorageType) -> bool:
    """Whether the kernel runs here; float16 is beyond processors that cannot convert it."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return storage != "float16" or not is_x86 or "f16c" in processor_features()


@cache
def compiled(storage: StorageType, kind: KernelKind, *, in_int8: bool) -> Kernel:
    """The kernel of a storage type and an interaction.

    Args:
        storage: of the index.
        kind: the interaction.
        in_int8: multiply int8 with queries in two int8 parts, on processors that can.
    """
    module = ir.Module(name="scoring")
    _build_int8_dots(module) if in_int8 else _build_dots(module, storage)
    _build_scores(module, kind)
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    features = binding.get_host_cpu_features()
    features["prefer-256-bit"] = False
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=features.flatten(), opt=3
    )
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(parsed, passes)
    engine = binding.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    return Kernel(_callable(engine, module, "dots"), _callable(engine, module, "scores"), engine)


def _callable(engine: binding.ExecutionEngine, module: ir.Module, name: str) -> Callable[..., None]:
    kinds: list[Any] = [ctypes.c_float if kind == FLOAT else ctypes.c_int64 for kind in module.globals[name].ftype.args]
    return ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address(name))  # releases Python's lock while it runs


def _rows_at_once() -> int:
    """As many sums of 16 lanes as the registers of this processor hold beside the operands."""
    return 8 if "avx512f" in processor_features() else 4


def _function(module: ir.Module, name: str, *kinds: ir.Type) -> tuple[Code, list[Value]]:
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    return Code(function.append_basic_block("entry")), list(function.args)


def _build_dots(module: ir.Module, storage: StorageType) -> None:
    """`dots(tokens, scales, rows, dim, queries, tiles, widened, out)`, all in float32.

    tokens `[rows, dim]` as stored; scales `[rows]`; queries `[tiles, dim, lanes]`; widened: room for some rows;
    out `[rows, tiles * lanes]`.
    """
    code, (tokens, scales, rows, dim, queries, tiles, widened, out) = _function(
        module, "dots", POINTER, POINTER, INT64, INT64, POINTER, INT64, POINTER, POINTER
    )
    together = _rows_at_once()
    whole = code.sub(rows, code.srem(rows, INT64(together)))
    for start, stop, step in ((INT64(0), whole, together), (whole, rows, 1)):
        with code.loop(start, stop, step) as row:
            floats = code.at(tokens, FLOAT, code.mul(row, dim))
            if storage != "float32":
                stored_rows = code.at(tokens, _ELEMENTS[storage], code.mul(row, dim))
                _widen(code, storage, stored_rows, code.at(scales, FLOAT, row), step, dim, widened)
                floats = widened
            with code.loop(INT64(0), tiles) as tile:
                query = code.at(queries, FLOATS, code.mul(tile, dim))
                sums = _sums(code, floats, dim, query, step)
                for place, value in enumerate(sums):
                    to = code.add(code.mul(code.add(row, INT64(place)), tiles), tile)
                    code.write(value, code.at(out, FLOATS, to))
    code.ret_void()


def _sums(code: Code, rows: Value, dim: Value, query: Value, count: int) -> list[Value]:
    """The dot products of `count` rows with the 16 tokens of a tile."""
    sums = [code.variable(FLOATS, constant(0.0)) for _ in range(count)]
    bases = [code.at(rows, FLOAT, code.mul(dim, INT64(place))) for place in range(count)]
    with code.loop(INT64(0), dim) as component:
        lanes = code.read(code.at(query, FLOATS, component), FLOATS)
        for base, total in zip(bases, sums, strict=True):
            element = code.splat(code.load(code.at(base, FLOAT, component), typ=FLOAT))
            code.store(code.multiply_add(element, lanes, code.get(total, FLOATS)), total)
    return [code.get(total, FLOATS) for total in sums]


def _widen(
    code: Code, storage: StorageType, stored: Value, scales: Value, rows: int, dim: Value, widened: Value
) -> None:
    """Some rows in float32, 16 components at a time and the rest one by one."""
    kind = _ELEMENTS[storage]
    vector = ir.VectorType(kind, LANES)
    whole = code.sub(dim, code.srem(dim, INT64(LANES)))
    with code.loop(INT64(0), INT64(rows)) as row:
        base = code.mul(dim, row)
        scale = code.load(code.at(scales, FLOAT, row), typ=FLOAT) if storage == "int8" else None
        with code.loop(INT64(0), whole, LANES) as component:
            place = code.add(base, component)
            floats = _as_floats(code, code.read(code.at(stored, kind, place), vector), INTS, FLOATS)
            if scale is not None:
                floats = code.fmul(floats, code.splat(scale))
            code.write(floats, code.at(widened, FLOAT, place))
        with code.loop(whole, dim) as component:
            place = code.add(base, component)
            single = _as_floats(code, code.read(code.at(stored, kind, place), kind), INT32, FLOAT)
            code.write(single if scale is None else code.fmul(single, scale), code.at(widened, FLOAT, place))


def _as_floats(code: Code, stored: Value, ints: ir.Type, floats: ir.Type) -> Value:
    kind = getattr(stored.type, "element", stored.type)
    if kind == HALF:
        return code.fpext(stored, floats)
    if kind == INT8:
        return code.sitofp(stored, floats)
    shift = int_constant(16) if ints == INTS else INT32(16)  # bfloat16 is the upper half of float32
    return code.bitcast(code.shl(code.zext(stored, ints), shift), floats)


def _build_int8_dots(module: ir.Module) -> None:
    """`dots(tokens, scales, sums, rows, dim, queries, parts, query_scales, low, tiles, room, out)`.

    tokens `[rows, dim]` int8; scales and sums `[rows]`, of each token (float32; int32); queries
    `[parts, dim / 4, lanes, 4]`, uint8, 128 above the value; low: the column where the low parts of the query tokens
    begin; room: for `rows at once * (parts * lanes + lanes)` int32; out `[rows, tiles * lanes]`, float32.
    """
    code, (tokens, scales, sums, rows, dim, queries, parts, query_scales, low, tiles, room, out) = _function(
        module, "dots", POINTER, POINTER, POINTER, INT64, INT64, POINTER, INT64, POINTER, INT64, INT64, POINTER, POINTER
    )
    together = _rows_at_once()
    whole = code.sub(rows, code.srem(rows, INT64(together)))
    fours = code.sdiv(dim, INT64(_INT_BYTES))
    width = code.mul(code.add(parts, INT64(1)), INT64(LANES))
    for start, stop, step in ((INT64(0), whole, together), (whole, rows, 1)):
        with code.loop(start, stop, step) as row:
            stored = code.at(tokens, INT8, code.mul(row, dim))
            with code.loop(INT64(0), parts) as part:
                query = code.at(queries, INTS, code.mul(part, fours))
                totals = _int8_sums(code, stored, code.at(sums, INT32, row), fours, query, step)
                for place, total in enumerate(totals):
                    to = code.add(code.mul(width, INT64(place)), code.mul(part, INT64(LANES)))
                    code.write(total, code.at(room, INT32, to))
            for place in range(step):
                at_row = code.add(row, INT64(place))
                scale = code.splat(code.load(code.at(scales, FLOAT, at_row), typ=FLOAT))
                high_parts = code.at(room, INT32, code.mul(width, INT64(place)))
                low_parts = code.at(high_parts, INT32, low)
                with code.loop(INT64(0), tiles) as tile:
                    high, rest = (
                        code.sitofp(code.read(code.at(part, INTS, tile), INTS), FLOATS)
                        for part in (high_parts, low_parts)
                    )
                    dots = code.multiply_add(high, constant(float(HIGH)), rest)
                    lanes = code.read(code.at(query_scales, FLOATS, tile), FLOATS)
                    dots = code.fmul(dots, code.fmul(scale, lanes))
                    code.write(dots, code.at(out, FLOATS, code.add(code.mul(at_row, tiles), tile)))
    code.ret_void()


def _int8_sums(code: Code, rows: Value, sums: Value, fours: Value, query: Value, count: int) -> list[Value]:
    """The int32 dot products of `count` rows with 16 columns, rid of the 128 that was added to each query component."""
    totals, bases = [], []
    for place in range(count):
        of_row = code.load(code.at(sums, INT32, INT64(place)), typ=INT32)
        totals.append(code.variable(INTS, code.splat(code.mul(of_row, INT32(-HIGH)))))
        bases.append(code.at(rows, INT32, code.mul(fours, INT64(place))))
    with code.loop(INT64(0), fours) as four:
        lanes = code.read(code.at(query, INTS, four), INTS)
        for base, total in zip(bases, totals, strict=True):
            element = code.splat(code.load(code.at(base, INT32, four), typ=INT32, align=1))
            added = code.intrinsic("llvm.x86.avx512.vpdpbusd.512", [code.get(total, INTS), lanes, element])
            code.store(added, total)
    return [code.get(total, INTS) for total in totals]


def _build_scores(module: ir.Module, kind: KernelKind) -> None:
    """`scores` of the targets `first` to `last` in stored order; its arguments are named in the lines below.

    dots `[tokens of these targets, tiles * lanes]`; inverse_norms `[tokens]`, offsets and order of the index; factor:
    of dot products, in powers of two; weights `[tiles * lanes]`: what each query token's match is multiplied by;
    bounds `[queries + 1]`: the columns of each query; out `[queries, targets]`; room `[tiles * lanes]`.
    """
    arguments = (POINTER,) * 4 + (INT64,) * 3 + (FLOAT, POINTER, POINTER, INT64, POINTER, INT64, POINTER)
    code, (
        dots, inverse_norms, offsets, order, first, last, tiles, factor, weights, bounds, queries, out, targets, room
    ) = _function(module, "scores", *arguments)  # fmt: skip
    first_row = code.load(code.at(offsets, INT64, first), typ=INT64)
    with code.loop(first, last) as stored:
        start = code.load(code.at(offsets, INT64, stored), typ=INT64)
        stop = code.load(code.at(offsets, INT64, code.add(stored, INT64(1))), typ=INT64)
        count = code.sub(stop, start)
        norms = code.at(inverse_norms, FLOAT, start)
        rows = code.at(dots, FLOATS, code.mul(code.sub(start, first_row), tiles))
        with code.loop(INT64(0), tiles) as tile:
            columns = _Columns(code, code.at(rows, FLOATS, tile), norms, count, tiles)
            match = columns.largest_cosine() if kind == "max_sim" else columns.soft_match(code.splat(factor))
            weight = code.read(code.at(weights, FLOATS, tile), FLOATS)
            code.write(code.fmul(match, weight), code.at(room, FLOATS, tile))
        target = code.load(code.at(order, INT64, stored), typ=INT64)
        with code.loop(INT64(0), queries) as query:
            total = code.variable(FLOAT, FLOAT(0.0))
            begin, end = (code.load(code.at(bounds, INT64, code.add(query, INT64(step))), typ=INT64) for step in (0, 1))
            with code.loop(begin, end) as column:
                match = code.load(code.at(room, FLOAT, column), typ=FLOAT)
                code.store(code.fadd(code.get(total, FLOAT), match), total)
            place = code.add(code.mul(query, targets), target)
            code.store(code.get(total, FLOAT), code.at(out, FLOAT, place))
    code.ret_void()


@dataclass(frozen=True)
class _Columns:
    """The dot products of one target's tokens with the 16 query tokens of a tile."""

    code: Code
    dots: Value
    inverse_norms: Value
    count: Value
    tiles: Value

    def soft_match(self, factor: Value) -> Value:
        """Cosines, still times the norm of the query token, weighted by a softmax of the dot products."""
        code = self.code
        largest = code.variable(FLOATS, constant(-math.inf))
        with code.loop(INT64(0), self.count) as token:
            code.store(code.larger(self._dots(token), code.get(largest, FLOATS)), largest)
        weighted, weights = (code.variable(FLOATS, constant(0.0)) for _ in range(2))
        with code.loop(INT64(0), self.count) as token:
            dots = self._dots(token)
            exponent = code.fmul(code.fsub(dots, code.get(largest, FLOATS)), factor)
            power = code.power_of_two(code.larger(exponent, constant(SMALLEST_EXPONENT)))
            cosines = code.fmul(dots, self._norm(token))
            code.store(code.multiply_add(power, cosines, code.get(weighted, FLOATS)), weighted)
            code.store(code.fadd(power, code.get(weights, FLOATS)), weights)
        return code.fdiv(code.get(weighted, FLOATS), code.get(weights, FLOATS))

    def largest_cosine(self) -> Value:
        """The largest cosine, still times the norm of the query token."""
        code = self.code
        largest = code.variable(FLOATS, constant(-math.inf))
        with code.loop(INT64(0), self.count) as token:
            cosines = code.fmul(self._dots(token), self._norm(token))
            code.store(code.larger(cosines, code.get(largest, FLOATS)), largest)
        return code.get(largest, FLOATS)

    def _dots(self, token: Value) -> Value:
        return self.code.read(self.code.at(self.dots, FLOATS, self.code.mul(token, self.tiles)), FLOATS)

    def _norm(self, token: Value) -> Value:
        return self.code.splat(self.code.load(self.code.at(self.inverse_norms, FLOAT, token), typ=FLOAT))

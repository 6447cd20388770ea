"""Dot products of int8 by the vector unit (AVX-512 VNNI)."""

from __future__ import annotations

from llvmlite import ir

from uwe_core.scoring.kernel.language import (
    DOTS_ARGUMENTS,
    FLOAT,
    FLOATS,
    INT8,
    INT32,
    INT64,
    INTS,
    Code,
    Value,
    constant,
    new_function,
)
from uwe_core.scoring.kernel.processor import rows_at_once
from uwe_core.scoring.packed_queries import HIGH, LANES

_INT_BYTES = 4


def build_int8_dots(module: ir.Module) -> None:
    """`dots` with queries in two parts, high and low.

    tokens `[rows, dim]` int8; scales and sums `[rows]`, of each token (float32; int32); queries
    `[parts, dim / 4, lanes, 4]`, uint8, 128 above the value; low: the column where the low parts of the query tokens
    begin; room: for `rows at once * (parts * lanes + lanes)` int32; out `[rows, tiles * lanes]`, float32.
    """
    code, (tokens, scales, sums, rows, dim, queries, parts, _components, query_scales, low, tiles, room, out) = (
        new_function(module, "dots", *DOTS_ARGUMENTS)
    )
    together = rows_at_once()
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

"""The other way of two: what each stored token finds in each query."""

from __future__ import annotations

import math

from llvmlite import ir

from uwe_core.scoring.kernel.language import (
    FLOAT,
    FLOATS,
    INT32,
    INT64,
    POINTER,
    Code,
    Value,
    constant,
    new_function,
)
from uwe_core.scoring.kernel.scores import SMALLEST_EXPONENT
from uwe_core.scoring.packed_queries import LANES


def build_asked(module: ir.Module) -> None:
    """`asked` of some stored tokens; lanes are 16 of them here, so that nothing is summed across a vector.

    dots `[rows, tiles * lanes]`, with room for 16 rows more; factor: of dot products, in powers of two;
    query_inverse_norms `[tiles * lanes]`; bounds `[queries + 1]`; room `[longest query, lanes]`; out `[rows, queries]`,
    with room for 16 rows more: cosines still times the norm of the stored token, weighted by a softmax of dot products.
    """
    arguments = (POINTER, INT64, INT64, FLOAT, POINTER, POINTER, INT64, POINTER, POINTER)
    code, (dots, rows, tiles, factor, query_inverse_norms, bounds, queries, room, out) = new_function(
        module, "asked", *arguments
    )
    width = code.mul(tiles, INT64(LANES))
    with code.loop(INT64(0), rows, LANES) as row:
        block = code.at(dots, FLOAT, code.mul(row, width))
        with code.loop(INT64(0), queries) as query:
            begin, end = (code.load(code.at(bounds, INT64, code.add(query, INT64(step))), typ=INT64) for step in (0, 1))
            largest = code.variable(FLOATS, constant(-math.inf))
            with code.loop(begin, end) as column:
                values = _strided(code, code.at(block, FLOAT, column), width)
                code.write(values, code.at(room, FLOATS, code.sub(column, begin)))
                code.store(code.larger(values, code.get(largest, FLOATS)), largest)
            weighted, weights = (code.variable(FLOATS, constant(0.0)) for _ in range(2))
            with code.loop(begin, end) as column:
                values = code.read(code.at(room, FLOATS, code.sub(column, begin)), FLOATS)
                exponent = code.fmul(code.fsub(values, code.get(largest, FLOATS)), code.splat(factor))
                power = code.power_of_two(code.larger(exponent, constant(SMALLEST_EXPONENT)))
                norm = code.load(code.at(query_inverse_norms, FLOAT, column), typ=FLOAT)
                cosines = code.fmul(values, code.splat(norm))
                code.store(code.multiply_add(power, cosines, code.get(weighted, FLOATS)), weighted)
                code.store(code.fadd(power, code.get(weights, FLOATS)), weights)
            found = code.fdiv(code.get(weighted, FLOATS), code.get(weights, FLOATS))
            _scatter(code, found, code.at(out, FLOAT, code.add(code.mul(row, queries), query)), queries)
    code.ret_void()


def _strided(code: Code, base: Value, step: Value) -> Value:
    """16 numbers that lie `step` numbers apart."""
    vector = ir.Constant(FLOATS, ir.Undefined)
    for lane in range(LANES):
        number = code.load(code.at(base, FLOAT, code.mul(step, INT64(lane))), typ=FLOAT)
        vector = code.insert_element(vector, number, INT32(lane))
    return vector


def _scatter(code: Code, vector: Value, base: Value, step: Value) -> None:
    """Write 16 numbers to places that lie `step` numbers apart."""
    for lane in range(LANES):
        code.store(code.extract_element(vector, INT32(lane)), code.at(base, FLOAT, code.mul(step, INT64(lane))))

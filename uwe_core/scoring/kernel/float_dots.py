"""Dot products in float32, whatever the storage type."""

from __future__ import annotations

from llvmlite import ir

from uwe_core.scoring.kernel.language import (
    DOTS_ARGUMENTS,
    FLOAT,
    FLOATS,
    HALF,
    INT8,
    INT16,
    INT32,
    INT64,
    INTS,
    Code,
    Value,
    constant,
    int_constant,
    new_function,
)
from uwe_core.scoring.kernel.processor import rows_at_once
from uwe_core.scoring.packed_queries import LANES
from uwe_core.token_storage import StorageType

_LINE_FLOATS = 16
_ELEMENTS: dict[StorageType, ir.Type] = {"float32": FLOAT, "bfloat16": INT16, "float16": HALF, "int8": INT8}


def build_float_dots(module: ir.Module, storage: StorageType) -> None:
    """`dots`, all in float32.

    tokens `[rows, dim]` as stored; scales `[rows]`; queries `[tiles, dim, lanes]` where components is 1, `[dim / 2, 8,
    2]` where it is 2; room: for some rows in float32; out `[rows, tiles * lanes]`.
    """
    one_by_one, by_pairs = (_build_dots(module, storage, components) for components in (1, 2))
    code, arguments = new_function(module, "dots", *DOTS_ARGUMENTS)
    components = arguments[7]
    with code.if_else(code.icmp_signed("==", components, INT64(2))) as (pairs, single):
        for branch, function in ((pairs, by_pairs), (single, one_by_one)):
            with branch:
                code.call(function, arguments)
    code.ret_void()


def _build_dots(module: ir.Module, storage: StorageType, at_once: int) -> Value:
    """`dots` where components is `at_once`."""
    code, (tokens, scales, _sums_of_rows, rows, dim, queries, _, _, _, _, tiles, widened, out) = new_function(
        module, f"dots_by_{at_once}", *DOTS_ARGUMENTS
    )
    together, asks_ahead = rows_at_once(), storage == "float32"
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
                for place, value in enumerate(_sums(code, floats, dim, query, step, at_once, asks_ahead)):
                    to = code.add(code.mul(code.add(row, INT64(place)), tiles), tile)
                    code.write(value, code.at(out, FLOATS, to))
    code.ret_void()
    return code.function


def _sums(
    code: Code, rows: Value, dim: Value, query: Value, count: int, components: int, asks_ahead: bool
) -> list[Value]:
    """The dot products of `count` rows with the 16 tokens of a tile, or with 8 by two components at a time, and zeros.

    A processor does not foresee so many rows side by side: where they lie in the index as they are, each line of those
    behind them is asked for while these are summed.
    """
    group, splat = (FLOAT, code.splat) if components == 1 else (ir.VectorType(FLOAT, components), code.pair_splat)
    groups, line = code.sdiv(dim, INT64(components)), _LINE_FLOATS // components
    sums = [code.variable(FLOATS, constant(0.0)) for _ in range(count)]
    bases = [code.at(rows, group, code.mul(groups, INT64(place))) for place in range(2 * count)]
    with code.loop(INT64(0), groups, line) as start:
        for base in bases[count:] if asks_ahead else ():
            code.prefetch(code.at(base, group, start))
        end = code.add(start, INT64(line))
        with code.loop(start, code.select(code.icmp_signed("<", end, groups), end, groups)) as place:
            lanes = code.read(code.at(query, FLOATS, place), FLOATS)
            for base, total in zip(bases[:count], sums, strict=True):
                element = splat(code.read(code.at(base, group, place), group))
                code.store(code.multiply_add(element, lanes, code.get(total, FLOATS)), total)
    totals = [code.get(total, FLOATS) for total in sums]
    return totals if components == 1 else [code.pair_sums(total) for total in totals]


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

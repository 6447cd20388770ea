"""Dot products by the matrix unit of x86 processors (AMX), with queries in the storage type's own parts.

A tile has 16 rows of 64 bytes. Tiles 0 to 3 sum the products of 64 stored tokens with 16 columns of the queries; tile 4
holds a block of 64 bytes of these columns, tile 5 the same block of 16 stored tokens.
"""

from __future__ import annotations

from llvmlite import ir

from uwe_core.scoring.kernel.language import (
    DOTS_ARGUMENTS,
    FLOAT,
    FLOATS,
    INT8,
    INT64,
    INTS,
    POINTER,
    Code,
    Value,
    constant,
    new_function,
)
from uwe_core.scoring.kernel.processor import TILE_BYTES
from uwe_core.scoring.packed_queries import LANES, PART_WEIGHTS
from uwe_core.token_storage import TORCH_TYPES, StorageType

_TILE_ROWS = 16
_NUMBER_BYTES = 4
_SUMS = 4
# Stored tokens that are multiplied at once.
BLOCK_ROWS = _SUMS * _TILE_ROWS
_QUERIES, _TOKENS = 4, 5
_PRODUCTS = {"int8": "tdpbssd", "bfloat16": "tdpbf16ps"}
_CONFIGURED_TILES, _CONFIGURATION_BYTES, _WIDTHS_AT, _ROWS_AT = 6, 64, 16, 48


def build_tile_dots(module: ir.Module, storage: StorageType) -> None:
    """`dots` with queries in parts of the storage type.

    tokens `[rows, dim]` as stored; scales `[rows]`, of int8; queries `[parts, dim * bytes / 4, lanes, 4 / bytes]`;
    query_scales `[tiles * lanes]`, of int8; count: of query tokens, so the columns from one part of them to the next;
    room: for a block's `(parts + 1) * lanes` sums a row and its stored tokens; out `[rows, tiles * lanes]`, float32.
    """
    code, (
        tokens, scales, _sums_of_rows, rows, dim, queries, parts, _components, query_scales, count, tiles, room, out
    ) = new_function(module, "dots", *DOTS_ARGUMENTS)  # fmt: skip
    row_bytes = code.mul(dim, INT64(TORCH_TYPES[storage].itemsize))
    width = code.mul(code.add(parts, INT64(1)), INT64(LANES))
    copied = code.at(room, FLOAT, code.mul(width, INT64(BLOCK_ROWS)))
    before = code.alloca(ir.ArrayType(INT8, _CONFIGURATION_BYTES))
    _tile(code, "sttilecfg", before)
    _tile(code, "ldtilecfg", _configuration(module))
    with code.loop(INT64(0), rows, BLOCK_ROWS) as row:
        left = code.sub(rows, row)
        is_short = code.icmp_signed("<", left, INT64(BLOCK_ROWS))
        here = code.select(is_short, left, INT64(BLOCK_ROWS))
        stored = code.at(tokens, INT8, code.mul(row, row_bytes))
        with code.if_then(is_short):
            _copy(code, stored, copied, code.mul(left, row_bytes))  # a tile reads 16 rows, also where there are fewer
        whole = code.select(is_short, copied, stored)
        with code.loop(INT64(0), parts) as part:
            column = code.at(queries, INT8, code.mul(code.mul(part, row_bytes), INT64(LANES)))
            to = code.at(room, FLOAT, code.mul(part, INT64(LANES)))
            _multiply(code, storage, whole, row_bytes, column, to, width)
        with code.loop(INT64(0), here) as place:
            at_row = code.add(row, place)
            sums = code.at(room, FLOAT, code.mul(width, place))
            scale = code.splat(code.load(code.at(scales, FLOAT, at_row), typ=FLOAT)) if storage == "int8" else None
            with code.loop(INT64(0), tiles) as tile:
                dots = _joined(code, storage, code.at(sums, FLOATS, tile), count)
                if scale is not None:
                    lanes = code.read(code.at(query_scales, FLOATS, tile), FLOATS)
                    dots = code.fmul(dots, code.fmul(scale, lanes))
                code.write(dots, code.at(out, FLOATS, code.add(code.mul(at_row, tiles), tile)))
    _tile(code, "ldtilecfg", before)  # other libraries may count on what they configured
    code.ret_void()


def _multiply(
    code: Code, storage: StorageType, tokens: Value, row_bytes: Value, queries: Value, sums: Value, width: Value
) -> None:
    """The products of a block of stored tokens with 16 columns, to rows that are `width` numbers apart."""
    for tile in range(_SUMS):
        _tile(code, "tilezero", INT8(tile))
    with code.loop(INT64(0), row_bytes, TILE_BYTES) as at_byte:
        block = code.at(queries, INT8, code.mul(at_byte, INT64(LANES)))
        _tile(code, "tileloadd64", INT8(_QUERIES), block, INT64(TILE_BYTES))
        for tile in range(_SUMS):
            offset = code.add(code.mul(row_bytes, INT64(tile * _TILE_ROWS)), at_byte)
            _tile(code, "tileloadd64", INT8(_TOKENS), code.at(tokens, INT8, offset), row_bytes)
            _tile(code, _PRODUCTS[storage], INT8(tile), INT8(_TOKENS), INT8(_QUERIES))
    for tile in range(_SUMS):
        to = code.at(sums, FLOAT, code.mul(width, INT64(tile * _TILE_ROWS)))
        _tile(code, "tilestored64", INT8(tile), to, code.mul(width, INT64(_NUMBER_BYTES)))


def _joined(code: Code, storage: StorageType, sums: Value, count: Value) -> Value:
    """The sums of all parts of 16 query tokens, each times what its part counts."""
    total = constant(0.0)
    for part, weight in enumerate(PART_WEIGHTS[storage]):
        address = code.at(sums, FLOAT, code.mul(count, INT64(part)))
        products = code.sitofp(code.read(address, INTS), FLOATS) if storage == "int8" else code.read(address, FLOATS)
        total = code.multiply_add(products, constant(weight), total)
    return total


def _copy(code: Code, source: Value, to: Value, count: Value) -> None:
    """Copy so many bytes, a multiple of 64."""
    with code.loop(INT64(0), count, TILE_BYTES) as at_byte:
        code.write(code.read(code.at(source, INT8, at_byte), INTS), code.at(to, INT8, at_byte))


def _configuration(module: ir.Module) -> ir.GlobalVariable:
    """Every tile with all its rows and columns, in the layout that the processor reads."""
    content = bytearray(_CONFIGURATION_BYTES)
    content[0] = 1
    for tile in range(_CONFIGURED_TILES):
        content[_WIDTHS_AT + 2 * tile] = TILE_BYTES
        content[_ROWS_AT + tile] = _TILE_ROWS
    kind = ir.ArrayType(INT8, _CONFIGURATION_BYTES)
    variable = ir.GlobalVariable(module, kind, "tiles")
    variable.global_constant = True
    variable.linkage = "internal"
    variable.initializer = ir.Constant(kind, content)
    return variable


def _tile(code: Code, name: str, *arguments: Value) -> None:
    """One instruction of the matrix unit; tiles are named by numbers that are known here."""
    full = f"llvm.x86.{name}"
    function = code.module.globals.get(full)
    if function is None:
        kinds = [POINTER if argument.type.is_pointer else argument.type for argument in arguments]
        function = ir.Function(code.module, ir.FunctionType(ir.VoidType(), kinds), full)
    code.call(function, arguments)

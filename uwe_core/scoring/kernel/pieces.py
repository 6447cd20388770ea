"""What one thread runs: piece after piece of the targets, until all threads together have scored every one."""

from __future__ import annotations

import ctypes

from llvmlite import ir

from uwe_core.scoring.kernel.language import FLOAT, INT8, INT64, POINTER, Code, Value, new_function
from uwe_core.token_storage import TORCH_TYPES, StorageType

_ADDRESSES = (
    "tokens", "scales", "sums", "inverse_norms", "offsets", "order", "queries", "query_scales", "weights", "bounds",
    "cuts", "taken", "room", "dots", "matches", "scores", "query_inverse_norms", "asked", "asked_weights",
)  # fmt: skip
_NUMBERS = ("dim", "parts", "components", "query_tokens", "tiles", "query_count", "targets", "pieces")


class Arguments(ctypes.Structure):
    """Everything a thread needs; arrays by their addresses, 0 where a storage type or a method has no such array.

    Of the index: tokens `[tokens, dim]` as stored, scales and sums `[tokens]` (int8), inverse_norms `[tokens]`, offsets
    `[targets + 1]` and order `[targets]`. Of the queries: queries, in the layout of the method; query_scales (int8) and
    weights `[tiles * lanes]`, what the match of each query token is multiplied by; bounds `[query_count + 1]`, the
    columns of each query; in two ways query_inverse_norms `[tiles * lanes]` and asked_weights `[query_count]`, what
    the mean over a target's tokens is multiplied by. Shared by threads: cuts `[pieces + 1]`, the first target of each
    piece; taken, how many pieces are; scores `[query_count, targets]`. Of the thread: room of the method; dots `[rows
    of the longest piece and 16, tiles * lanes]`; matches `[tiles * lanes]`; in two ways asked `[as many rows,
    query_count]`. factor: of dot products, in powers of two.
    """

    _fields_ = (
        *((name, ctypes.c_int64) for name in (*_ADDRESSES, *_NUMBERS)),
        ("factor", ctypes.c_double),  # all of eight bytes, so that places do not depend on alignment
    )


def build_run(module: ir.Module, storage: StorageType) -> None:
    """`run(arguments)`, which calls `dots` and `scores` for each piece that it takes."""
    code, (arguments,) = new_function(module, "run", POINTER)
    given = _Given(code, arguments)
    row_bytes = code.mul(given["dim"], INT64(TORCH_TYPES[storage].itemsize))
    head, body, done = (code.append_basic_block(name) for name in ("head", "body", "done"))
    code.branch(head)
    code.position_at_end(head)
    piece = code.atomic_rmw("add", given["taken"], INT64(1), "monotonic")
    code.cbranch(code.icmp_signed("<", piece, given["pieces"]), body, done)
    code.position_at_end(body)
    first, last = (_number(code, given["cuts"], code.add(piece, INT64(step))) for step in (0, 1))
    start, stop = (_number(code, given["offsets"], target) for target in (first, last))
    code.call(module.globals["dots"], [
        code.at(given["tokens"], INT8, code.mul(start, row_bytes)), code.at(given["scales"], FLOAT, start),
        code.at(given["sums"], FLOAT, start), code.sub(stop, start), given["dim"], given["queries"], given["parts"],
        given["components"], given["query_scales"], given["query_tokens"], given["tiles"], given["room"], given["dots"],
    ])  # fmt: skip
    if asked := module.globals.get("asked"):
        code.call(asked, [
            given["dots"], code.sub(stop, start), given["tiles"], given["factor"], given["query_inverse_norms"],
            given["bounds"], given["query_count"], given["room"], given["asked"],
        ])  # fmt: skip
    code.call(module.globals["scores"], [
        given["dots"], given["inverse_norms"], given["offsets"], given["order"], first, last, given["tiles"],
        given["factor"], given["weights"], given["bounds"], given["query_count"], given["scores"], given["targets"],
        given["matches"], given["asked"], given["asked_weights"],
    ])  # fmt: skip
    code.branch(head)
    code.position_at_end(done)
    code.ret_void()


class _Given(dict[str, Value]):
    """The fields of `Arguments`, read at the beginning."""

    def __init__(self, code: Code, arguments: Value) -> None:
        for place, (name, *_) in enumerate(Arguments._fields_):
            address = code.at(arguments, INT64, INT64(place))
            if name == "factor":
                self[name] = code.fptrunc(code.load(address, typ=ir.DoubleType()), FLOAT)
            else:
                self[name] = code.load(address, typ=POINTER if name in _ADDRESSES else INT64)


def _number(code: Code, numbers: Value, place: Value) -> Value:
    return code.load(code.at(numbers, INT64, place), typ=INT64)

"""From the dot products of some targets to their scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from llvmlite import ir

from uwe_core.scoring.kernel.language import FLOAT, FLOATS, INT64, POINTER, Code, Value, constant, new_function

KernelKind = Literal["soft_late_interaction", "two_way_late_interaction", "max_sim"]

# A weight of e^-35 is nothing in float32; exponents far below cost many times as much, since they end in denormals.
SMALLEST_EXPONENT = -35 * math.log2(math.e)


def build_scores(module: ir.Module, kind: KernelKind) -> None:
    """`scores` of the targets `first` to `last` in stored order; its arguments are named in the lines below.

    dots `[tokens of these targets, tiles * lanes]`; inverse_norms `[tokens]`, offsets and order of the index; factor:
    of dot products, in powers of two; weights `[tiles * lanes]`: what each query token's match is multiplied by;
    bounds `[queries + 1]`: the columns of each query; out `[queries, targets]`; room `[tiles * lanes]`. In two ways:
    asked `[rows, queries]`, what `build_asked` found, and asked_weights `[queries]`, what a target's mean of it is
    multiplied by.
    """
    arguments = (POINTER,) * 4 + (INT64,) * 3 + (FLOAT, POINTER, POINTER, INT64, POINTER, INT64) + (POINTER,) * 3
    code, (
        dots, inverse_norms, offsets, order, first, last, tiles, factor, weights, bounds, queries, out, targets, room,
        asked, asked_weights,
    ) = new_function(module, "scores", *arguments)  # fmt: skip
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
            if kind == "two_way_late_interaction":
                row = code.at(asked, FLOAT, code.add(code.mul(code.sub(start, first_row), queries), query))
                mean = _mean_asked(code, row, queries, norms, count)
                weight = code.load(code.at(asked_weights, FLOAT, query), typ=FLOAT)
                code.store(code.fadd(code.get(total, FLOAT), code.fmul(mean, weight)), total)
            place = code.add(code.mul(query, targets), target)
            code.store(code.get(total, FLOAT), code.at(out, FLOAT, place))
    code.ret_void()


def _mean_asked(code: Code, asked: Value, queries: Value, norms: Value, count: Value) -> Value:
    """What the tokens of one target find in one query, on average; `asked` is of the first of them."""
    total = code.variable(FLOAT, FLOAT(0.0))
    with code.loop(INT64(0), count) as token:
        found = code.load(code.at(asked, FLOAT, code.mul(token, queries)), typ=FLOAT)
        norm = code.load(code.at(norms, FLOAT, token), typ=FLOAT)
        code.store(code.fadd(code.get(total, FLOAT), code.fmul(found, norm)), total)
    return code.fdiv(code.get(total, FLOAT), code.uitofp(count, FLOAT))


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

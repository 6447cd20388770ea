# mypy: ignore-errors
# ruff: noqa: PLR0913, PLR0917
# The body below is Triton's language, which only looks like Python.
"""The fused scoring kernel, in Triton: reads stored tokens, keeps dot products and softmax in registers, writes scores.

Float32 throughout, whatever the storage. Importing this module needs `triton`; with TRITON_INTERPRET=1 in the
environment at that moment the kernel runs on a CPU, slowly.
"""

from typing import no_type_check

import triton
import triton.language as tl

# Matrix instructions want at least 16 of everything.
QUERY_TOKENS = 16
# Targets of a program, and of each as many tokens at a time; labels of skills have six on average.
TARGETS = 8


@triton.jit
@no_type_check
def token_ranges(offsets, first, targets, target_count: tl.constexpr, target_tokens: tl.constexpr):
    """Where the tokens of some targets begin and end, for each of the `target_tokens` lanes of a target."""
    target = first + tl.arange(0, target_count * target_tokens) // target_tokens
    start = tl.load(offsets + target, mask=target < targets, other=0)
    stop = tl.load(offsets + target + 1, mask=target < targets, other=0)
    return start, stop


@triton.jit
@no_type_check
def block_dots(
    embeddings, scales, queries, row, real, query_row, dim, has_scales: tl.constexpr,
    rows: tl.constexpr, query_tokens: tl.constexpr, components: tl.constexpr,
):  # fmt: skip
    """Dot products `[rows, query_tokens]` of some stored tokens, 0 where they are not real, with some of a query."""
    dots = tl.zeros((rows, query_tokens), tl.float32)
    for begin in range(0, dim, components):
        component = begin + tl.arange(0, components)
        inside = component < dim
        token = tl.load(
            embeddings + row[:, None] * dim + component[None, :], mask=real[:, None] & inside[None, :], other=0
        ).to(tl.float32)
        query = tl.load(queries + query_row[None, :] * dim + component[:, None], mask=inside[:, None], other=0)
        dots = tl.dot(token, query, dots, input_precision="ieee")
    if has_scales:
        dots = dots * tl.load(scales + row, mask=real, other=0)[:, None]
    return dots


@triton.jit
@no_type_check  # shapes and types of its arguments are Triton's, not Python's
def score_block(
    embeddings, scales, inverse_norms, offsets, order, queries, query_rows, weights, out,
    targets, pieces, dim, factor,
    has_scales: tl.constexpr, is_max: tl.constexpr,
    target_count: tl.constexpr = 8, target_tokens: tl.constexpr = 16, query_tokens: tl.constexpr = 16,
    components: tl.constexpr = 32,
):  # fmt: skip
    """Scores of a few targets for one piece of a query.

    From the index come embeddings, scales (where `has_scales`), inverse_norms, offsets and order. queries `[tokens,
    dim]`; query_rows and weights `[pieces, query_tokens]`: which tokens each piece has, and their inverse norms, 0
    where a piece has no more; out `[pieces, targets]`; factor: of dot products, in powers of two.
    """
    piece = (tl.program_id(0) % pieces).to(tl.int64)
    first = tl.program_id(0) // pieces * target_count
    lanes = tl.arange(0, target_count * target_tokens)
    start, stop = token_ranges(offsets, first, targets, target_count, target_tokens)
    columns = piece * query_tokens + tl.arange(0, query_tokens)
    query_row = tl.load(query_rows + columns)
    largest = tl.full((target_count, query_tokens), float("-inf"), tl.float32)
    weighted = tl.zeros((target_count, query_tokens), tl.float32)
    total = tl.zeros((target_count, query_tokens), tl.float32)
    longest = tl.max(stop - start, axis=0)
    for done in range(0, longest, target_tokens):
        row = start + done + lanes % target_tokens
        real = row < stop
        dots = block_dots(
            embeddings, scales, queries, row, real, query_row, dim, has_scales,
            target_count * target_tokens, query_tokens, components,
        )  # fmt: skip
        cosines = dots * tl.load(inverse_norms + row, mask=real, other=0)[:, None]
        # Tokens that are not there are minus infinity, and so is the largest of a target that is not there.
        dots = tl.where(real[:, None], dots, float("-inf"))
        dots = tl.reshape(dots, (target_count, target_tokens, query_tokens))
        if is_max:
            cosines = tl.where(real[:, None], cosines, float("-inf"))
            cosines = tl.reshape(cosines, (target_count, target_tokens, query_tokens))
            largest = tl.maximum(largest, tl.max(cosines, axis=1))
        else:
            cosines = tl.reshape(cosines, (target_count, target_tokens, query_tokens))
            now_largest = tl.maximum(largest, tl.max(dots, axis=1))
            finite = tl.where(now_largest == float("-inf"), 0.0, now_largest)
            powers = tl.exp2((dots - finite[:, None, :]) * factor)
            before = tl.exp2((largest - finite) * factor)
            weighted = weighted * before + tl.sum(powers * cosines, axis=1)
            total = total * before + tl.sum(powers, axis=1)
            largest = now_largest
    if is_max:  # noqa: SIM108 - the language evaluates a branch of a constant when it compiles
        match = tl.where(largest == float("-inf"), 0.0, largest)
    else:
        match = weighted / tl.where(total > 0, total, 1.0)
    scores = tl.sum(match * tl.load(weights + columns)[None, :], axis=1)
    stored = first + tl.arange(0, target_count)
    place = tl.load(order + stored, mask=stored < targets, other=0)
    tl.store(out + piece * targets + place, scores, mask=stored < targets)


@triton.jit
@no_type_check
def ask_block(
    embeddings, scales, inverse_norms, offsets, order, queries, bounds, query_inverse_norms, out,
    targets, query_count, dim, factor,
    has_scales: tl.constexpr,
    target_count: tl.constexpr = 8, target_tokens: tl.constexpr = 16, query_tokens: tl.constexpr = 16,
    components: tl.constexpr = 32,
):  # fmt: skip
    """What the tokens of a few targets find in one query, on average: the other way of two.

    As `score_block`, but for bounds `[queries + 1]`, the tokens of each query; query_inverse_norms `[tokens]`; out
    `[queries, targets]`.
    """
    query = (tl.program_id(0) % query_count).to(tl.int64)
    first = tl.program_id(0) // query_count * target_count
    lanes = tl.arange(0, target_count * target_tokens)
    start, stop = token_ranges(offsets, first, targets, target_count, target_tokens)
    begin = tl.load(bounds + query)
    end = tl.load(bounds + query + 1)
    summed = tl.zeros((target_count,), tl.float32)
    for done in range(0, tl.max(stop - start, axis=0), target_tokens):
        row = start + done + lanes % target_tokens
        real = row < stop
        largest = tl.full((target_count * target_tokens,), float("-inf"), tl.float32)
        weighted = tl.zeros((target_count * target_tokens,), tl.float32)
        total = tl.zeros((target_count * target_tokens,), tl.float32)
        for column in range(begin, end, query_tokens):
            query_row = column + tl.arange(0, query_tokens)
            asked = query_row < end
            query_row = tl.minimum(query_row, end - 1)
            dots = block_dots(
                embeddings, scales, queries, row, real, query_row, dim, has_scales,
                target_count * target_tokens, query_tokens, components,
            )  # fmt: skip
            cosines = dots * tl.load(query_inverse_norms + query_row)[None, :]
            dots = tl.where(asked[None, :], dots, float("-inf"))
            now_largest = tl.maximum(largest, tl.max(dots, axis=1))
            powers = tl.exp2((dots - now_largest[:, None]) * factor)
            before = tl.exp2((largest - now_largest) * factor)
            weighted = weighted * before + tl.sum(powers * cosines, axis=1)
            total = total * before + tl.sum(powers, axis=1)
            largest = now_largest
        found = weighted / total * tl.load(inverse_norms + row, mask=real, other=0)
        summed += tl.sum(tl.reshape(found, (target_count, target_tokens)), axis=1)
    stored = first + tl.arange(0, target_count)
    there = stored < targets
    count = tl.load(offsets + stored + 1, mask=there, other=1) - tl.load(offsets + stored, mask=there, other=0)
    place = tl.load(order + stored, mask=there, other=0)
    tl.store(out + query * targets + place, summed / count, mask=there)

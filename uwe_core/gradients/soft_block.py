"""Soft late interaction of a block in both directions, and its gradient by hand.

With logits `l` (dot products over the temperature), cosines `c = l * u * v` (u, v inverse norms, the query's times
the temperature), and softmax weights `a` over one side's tokens, a token of the other side finds `r = sum(a * c)`.
For a gradient `g` of `r`

    with respect to the logits as logits     g * a * (c - r)
    with respect to the cosines              g * a

and both directions add up over the same logits. What `torch` would record for this is several times as many passes
over memory; here each number is read and written in place, in buffers that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from uwe_core.gradients.block_side import BlockSide
from uwe_core.gradients.pair_block import (
    QUERY_TOKENS,
    TARGET_TOKENS,
    BlockDots,
    BlockPairs,
    Matches,
    PairBlock,
    add_padding_,
    dots_of,
    times_norms,
)

# Weights below 1e-15 are rounding errors; left to underflow, they would cost a CPU fifty times as much as others.
SMALLEST_EXPONENT = -35.0


def soft_block(
    query: BlockSide, target: BlockSide, out: Float[Tensor, " pairs"], scratch: Float[Tensor, "buffers pairs"]
) -> PairBlock:
    """Logits and matches of every query with every target; the query side is scaled by one over the temperature.

    Args:
        query: one side.
        target: the other.
        out: memory for the logits.
        scratch: memory for what is between, two buffers or more.
    """
    logits = add_padding_(dots_of(query, target, out), query, target)
    cosines, powers = (buffer.view(logits.shape) for buffer in scratch[:2])
    times_norms(logits, query, target, out=cosines)
    matches = (_match(logits, cosines, powers, axis) for axis in (TARGET_TOKENS, QUERY_TOKENS))
    return PairBlock(query, target, logits, (next(matches), next(matches)))


def soft_block_gradient(
    block: PairBlock, of_matches: Sequence[BlockPairs | None], scratch: Float[Tensor, "buffers pairs"]
) -> tuple[BlockDots, BlockDots]:
    """Gradients of a block.

    Args:
        block: as `soft_block` has made it.
        of_matches: gradient of the sum of what all tokens of a text find in another, per direction; not both None.
        scratch: memory, three buffers or more; two of them are returned.

    Returns:
        The gradient with respect to the logits, norms held fixed; and that with respect to the cosines, times them.
    """
    gradient, less, powers = (buffer.view(block.dots.shape) for buffer in scratch[:3])
    known = [
        (match, grad[:, None, :]) for match, grad in zip(block.matches, of_matches, strict=True) if grad is not None
    ]
    for number, (match, grad) in enumerate(known):
        weights = powers if number else gradient
        _exponentials(block.dots, match.level, out=weights).mul_(grad)
        if number:
            less.addcmul_(weights, match.found)
            gradient += weights
        else:
            torch.mul(weights, match.found, out=less)
    times_norms(gradient, block.query, block.target, out=gradient)
    through_cosines = torch.mul(gradient, block.dots, out=powers)
    gradient += through_cosines
    gradient -= less
    return gradient, through_cosines


def _match(logits: BlockDots, cosines: BlockDots, powers: BlockDots, axis: int) -> Matches:
    largest = logits.amax(axis, keepdim=True)
    _exponentials(logits, largest, out=powers)
    total = powers.sum(axis, keepdim=True)
    found = powers.mul_(cosines).sum(axis, keepdim=True) / total
    return Matches(found, largest + total.log_())


def _exponentials(logits: Tensor, level: Tensor, out: Tensor) -> Tensor:
    return torch.sub(logits, level, out=out).clamp_min_(SMALLEST_EXPONENT).exp_()

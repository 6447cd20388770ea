"""MaxSim of a block in both directions, and its gradient by hand."""

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


def max_block(
    query: BlockSide, target: BlockSide, out: Float[Tensor, " pairs"], scratch: Float[Tensor, "buffers pairs"]
) -> PairBlock:
    """Dot products and matches of every query with every target.

    Args:
        query: one side.
        target: the other.
        out: memory for the dot products.
        scratch: memory for what is between, a buffer or more.
    """
    dots = dots_of(query, target, out)
    cosines = _cosines(dots, query, target, scratch[0])
    real = query.inverse_norms[:, :, None, None] > 0, target.inverse_norms > 0
    largest = cosines.amax(TARGET_TOKENS, keepdim=True), cosines.amax(QUERY_TOKENS, keepdim=True)
    forward, backward = (Matches(level.where(mask, 0.0), level) for level, mask in zip(largest, real, strict=True))
    return PairBlock(query, target, dots, (forward, backward))


def max_block_gradient(
    block: PairBlock, of_matches: Sequence[BlockPairs | None], scratch: Float[Tensor, "buffers pairs"]
) -> tuple[BlockDots, BlockDots]:
    """Gradients of a block; equal maxima share theirs.

    Args:
        block: as `max_block` has made it.
        of_matches: gradient of the sum of what all tokens of a text find in another, per direction; not both None.
        scratch: memory, three buffers or more; two of them are returned.

    Returns:
        The gradient with respect to the dot products, norms held fixed; and that with respect to the cosines, times
        them.
    """
    cosines = _cosines(block.dots, block.query, block.target, scratch[0])
    gradient, chosen = (buffer.view(block.dots.shape) for buffer in scratch[1:3])
    gradient.zero_()
    for match, grad, axis in zip(block.matches, of_matches, (TARGET_TOKENS, QUERY_TOKENS), strict=True):
        if grad is not None:
            torch.eq(cosines, match.level, out=chosen)
            gradient.addcmul_(chosen, grad[:, None, :] / chosen.sum(axis, keepdim=True))
    times_norms(gradient, block.query, block.target, out=gradient)
    return gradient, torch.mul(gradient, block.dots, out=chosen)


def _cosines(dots: BlockDots, query: BlockSide, target: BlockSide, out: Float[Tensor, " pairs"]) -> BlockDots:
    return add_padding_(times_norms(dots, query, target, out=out.view(dots.shape)), query, target)

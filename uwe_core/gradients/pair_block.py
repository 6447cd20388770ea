"""PairBlock: the dot products of the tokens of some queries and some targets, and the memory to work on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from uwe_core.gradients.block_side import BlockSide

BlockDots: TypeAlias = Float[Tensor, "query_tokens queries target_tokens targets"]
BlockPairs: TypeAlias = Float[Tensor, "queries targets"]
# What a query's tokens look at are the target's, and the other way round.
TARGET_TOKENS, QUERY_TOKENS = 2, 0


class Matches(NamedTuple):
    """What each token of one side has found in each text of the other; the other side's tokens axis has length one.

    Attributes:
        found: a cosine, or an average of cosines; 0 for padding.
        level: what the gradient needs again: of a softmax the logarithm of its denominator, of a maximum itself.
    """

    found: BlockDots
    level: BlockDots


@dataclass(frozen=True)
class PairBlock:
    """Every query of a group beside every target of another.

    Attributes:
        query: one side.
        target: the other.
        dots: products of their tokens.
        matches: of the queries' tokens, and of the targets' tokens.
    """

    query: BlockSide
    target: BlockSide
    dots: BlockDots
    matches: tuple[Matches, Matches]


def dots_of(query: BlockSide, target: BlockSide, out: Float[Tensor, " pairs"]) -> BlockDots:
    """One matrix product, looked at by text and token without moving anything."""
    torch.mm(query.tokens, target.tokens.T, out=out.view(len(query.tokens), len(target.tokens)))
    return out.view(*query.inverse_norms.shape, *target.inverse_norms.shape)


def times_norms(values: BlockDots, query: BlockSide, target: BlockSide, out: BlockDots) -> BlockDots:
    """The values times the inverse norms of both tokens; `out` may be `values`."""
    return torch.mul(values, target.inverse_norms, out=out).mul_(query.inverse_norms[:, :, None, None])


def add_padding_(values: BlockDots, query: BlockSide, target: BlockSide) -> BlockDots:
    """Make whatever has padding on either side lose every comparison, in place."""
    if target.padding is not None:
        values += target.padding
    if query.padding is not None:
        values += query.padding[:, :, None, None]
    return values

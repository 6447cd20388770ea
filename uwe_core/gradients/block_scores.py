"""Scores of all pairs and their gradients, block by block: the products of all tokens are never in memory at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from uwe_core.gradients.kept_blocks import KeptBlocks
from uwe_core.gradients.packed_tokens import PaddedGroup
from uwe_core.gradients.token_blocks import KERNELS, TokenBlocks
from uwe_core.gradients.two_way_scores import TwoWayScores, interact_both_ways
from uwe_core.interaction import InteractionConfig
from uwe_core.types import RaggedTokens


@torch.no_grad()
def scores_in_blocks(
    config: InteractionConfig,
    queries: Sequence[PaddedGroup],
    targets: Sequence[PaddedGroup],
    kept: KeptBlocks | None = None,
) -> TwoWayScores:
    """Scores of every query with every target, in both directions, without gradients.

    Args:
        config: which score.
        queries: in groups; a query's row is its place.
        targets: likewise.
        kept: takes blocks for `backward_in_blocks` as long as it has room.
    """
    if config.kind in KERNELS:
        scores = _token_blocks(config, queries, targets).scores(kept or KeptBlocks(room=0))
        return TwoWayScores(*scores[::-1]) if _turned(queries, targets) else scores
    shape = [sum(len(group.places) for group in side) for side in (queries, targets)]
    forward, backward = (queries[0].tokens.new_empty(sizes) for sizes in (shape, shape[::-1]))
    for query, target in product(queries, targets):
        block = interact_both_ways(config, query.tokens, target.tokens, query.mask, target.mask)
        forward[query.places[:, None], target.places] = block.forward
        backward[target.places[:, None], query.places] = block.backward
    return TwoWayScores(forward, backward)


def backward_in_blocks(
    config: InteractionConfig,
    queries: Sequence[PaddedGroup],
    targets: Sequence[PaddedGroup],
    of_scores: Sequence[Tensor | None],
    of_tokens: RaggedTokens,
    kept: KeptBlocks | None = None,
) -> None:
    """Add to the gradients of the token embeddings, given those of the scores.

    Args:
        config: which score.
        queries: as `scores_in_blocks` took them.
        targets: likewise.
        of_scores: gradients of the forward and the backward scores; None where the loss did not read them.
        of_tokens: what is added to, over all packed tokens.
        kept: what `scores_in_blocks` filled.
    """
    if config.kind in KERNELS:
        with torch.no_grad():
            of_scores = of_scores[::-1] if _turned(queries, targets) else of_scores
            _token_blocks(config, queries, targets).add_gradients(of_scores, of_tokens, kept or KeptBlocks(room=0))
        return
    for query, target in product(queries, targets):
        leaves = query.tokens.detach().requires_grad_(), target.tokens.detach().requires_grad_()
        block = interact_both_ways(config, *leaves, query.mask, target.mask)
        places = [(query.places[:, None], target.places), (target.places[:, None], query.places)]
        known = [(out, grad[at]) for out, grad, at in zip(block, of_scores, places, strict=True) if grad is not None]
        gradients = torch.autograd.grad([out for out, _ in known], leaves, [grad for _, grad in known])
        for group, gradient in zip((query, target), gradients, strict=True):
            of_tokens.index_add_(0, group.rows.flatten(), gradient.flatten(0, 1))


def _token_blocks(
    config: InteractionConfig, queries: Sequence[PaddedGroup], targets: Sequence[PaddedGroup]
) -> TokenBlocks:
    return TokenBlocks.of(config, *((targets, queries) if _turned(queries, targets) else (queries, targets)))


def _turned(queries: Sequence[PaddedGroup], targets: Sequence[PaddedGroup]) -> bool:
    """Whether the roles are swapped, so that the side with more texts in a group is the innermost axis."""
    return len(queries[0].places) > len(targets[0].places)

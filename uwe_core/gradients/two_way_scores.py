"""Scores of both directions, `sim(query, target)` and `sim(target, query)`, from one product of the tokens."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uwe_core.interaction import (
    InteractionConfig,
    interact,
    inverse_norms,
    real_tokens,
    reduce_query_tokens,
    soft_match,
)
from uwe_core.types import QueryMask, QueryTokens, Scores, TargetMask, TargetTokens


class TwoWayScores(NamedTuple):
    """Scores with the queries as queries, and with the roles swapped."""

    forward: Scores
    backward: Float[Tensor, "targets queries"]


def interact_both_ways(
    config: InteractionConfig,
    query_tokens: QueryTokens,
    target_tokens: TargetTokens,
    query_mask: QueryMask,
    target_mask: TargetMask,
) -> TwoWayScores:
    """The score that `config` names, of every query with every target and of every target with every query.

    The same numbers as `interact` called twice, at the price of little more than once.
    """
    tokens, masks = (query_tokens, target_tokens), (query_mask, target_mask)
    match config.kind:
        case "soft_late_interaction" | "max_sim":
            return _token_by_token(config, *tokens, *masks)
        case "context_match":
            forward = interact(config, *tokens, *masks)
            return TwoWayScores(forward, interact(config, *tokens[::-1], *masks[::-1]))
        case "pooled_cosine":
            forward = interact(config, *tokens, *masks)
            return TwoWayScores(forward, forward.T)


def _token_by_token(
    config: InteractionConfig,
    query_tokens: QueryTokens,
    target_tokens: TargetTokens,
    query_mask: QueryMask,
    target_mask: TargetMask,
) -> TwoWayScores:
    query_tokens, target_tokens = real_tokens(query_tokens, query_mask), real_tokens(target_tokens, target_mask)
    dots = torch.einsum("qnd,tmd->qtnm", query_tokens, target_tokens)
    cosines = dots * inverse_norms(query_tokens)[:, None, :, None] * inverse_norms(target_tokens)[None, :, None, :]
    # seen from the targets: their tokens are the rows
    dots_back, cosines_back = dots.permute(1, 0, 3, 2), cosines.permute(1, 0, 3, 2)
    if config.kind == "soft_late_interaction":
        temperature = config.interaction_temperature
        matches = soft_match(dots, cosines, temperature, target_mask[None, :, None, :])
        matches_back = soft_match(dots_back, cosines_back, temperature, query_mask[None, :, None, :])
    else:
        matches = cosines.masked_fill(~target_mask[None, :, None, :], -torch.inf).amax(dim=-1)
        matches_back = cosines_back.masked_fill(~query_mask[None, :, None, :], -torch.inf).amax(dim=-1)
    return TwoWayScores(
        reduce_query_tokens(matches, query_mask, config.query_reduction),
        reduce_query_tokens(matches_back, target_mask, config.query_reduction),
    )

"""Scores of both directions, `sim(query, target)` and `sim(target, query)`."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from uwe_core.interaction import InteractionConfig, interact
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

    A score that compares token with token takes every product twice here: `token_blocks.py` does not.
    """
    forward = interact(config, query_tokens, target_tokens, query_mask, target_mask)
    if config.kind == "pooled_cosine":  # the same seen from both sides
        return TwoWayScores(forward, forward.T)
    return TwoWayScores(forward, interact(config, target_tokens, query_tokens, target_mask, query_mask))

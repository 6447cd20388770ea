"""How evenly a query's tokens look at a target's: near 0 each looks at one token, near 1 at all alike.

Either end shows a wrong interaction temperature: the softmax of soft late interaction has then become a maximum, or a
mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from uwe_core.gradients.objective import Objective
from uwe_core.gradients.packed_tokens import PackedTokens
from uwe_core.interaction import InteractionConfig, real_tokens
from uwe_core.types import QueryMask, QueryTokens, TargetMask, TargetTokens

# Queries and targets of each graph: all pairs of so many are enough for a mean.
SAMPLED_TEXTS = 32


@torch.no_grad()
def attention_entropy(
    query_tokens: QueryTokens,
    target_tokens: TargetTokens,
    query_mask: QueryMask,
    target_mask: TargetMask,
    interaction_temperature: float,
) -> Float[Tensor, ""]:
    """Mean entropy of the attention over a target's tokens, as a share of the largest that there can be.

    The mean is over all real tokens of all queries and all targets of two tokens or more: where there is but one,
    there is nothing to choose. 0 where no target has two.
    """
    query_tokens, target_tokens = real_tokens(query_tokens, query_mask), real_tokens(target_tokens, target_mask)
    logits = torch.einsum("qnd,tmd->qntm", query_tokens, target_tokens) / interaction_temperature
    real = target_mask[None, None, :, :]
    # Finite, so that zero times the logarithm of what is not there is zero.
    log_weights = logits.masked_fill(~real, torch.finfo(logits.dtype).min).log_softmax(dim=-1)
    entropies = -(log_weights.exp() * log_weights.masked_fill(~real, 0.0)).sum(dim=-1)
    lengths = target_mask.sum(dim=-1)
    counted = query_mask[:, :, None] & (lengths > 1)
    shares = torch.where(counted, entropies / lengths.clamp_min(2).log(), 0.0)
    return shares.sum() / counted.sum().clamp_min(1)


def graph_entropies(
    tokens: PackedTokens, objectives: Sequence[Objective], interaction: InteractionConfig
) -> dict[str, Float[Tensor, ""]]:
    """The entropy of each term's first queries and targets, on their device; none of a score without such attention."""
    if not (interaction.compares_tokens and interaction.has_temperature):
        return {}
    entropies = {}
    for objective in objectives:
        sides = (objective.query_texts[:SAMPLED_TEXTS], objective.target_texts[:SAMPLED_TEXTS])
        queries, targets = (tokens.group(texts, np.arange(len(texts))) for texts in sides)
        entropies[objective.name] = attention_entropy(
            queries.tokens, targets.tokens, queries.mask, targets.mask, interaction.interaction_temperature
        )
    return entropies

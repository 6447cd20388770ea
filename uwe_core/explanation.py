"""Why a target has its score: what each pair of a query token and a target token adds to it.

Every interaction is a sum over such pairs, so nothing is approximated: the contributions of all pairs sum to the score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from uwe_core.interaction import InteractionConfig, inverse_norms
from uwe_core.token_span import TokenSpan

# Of the contributions of all pairs, signs left aside; so at most 100 pairs are told apart, however long the texts are.
SMALL_SHARE = 0.01
# Far below what float32 scores are exact to; more digits would double the size of an answer.
_DECIMALS = 8

Contributions: TypeAlias = Float[Tensor, "query_tokens target_tokens"]


@dataclass(frozen=True)
class Pair:
    """A query token that met a target token.

    Attributes:
        query_token, target_token: positions among the tokens of the query and of the target, from 0.
        contribution: what the pair adds to the score; below 0 where it takes from it.
    """

    query_token: int
    target_token: int
    contribution: float


@dataclass(frozen=True)
class TargetExplanation:
    """The score of one target in parts: `pairs` and `rest` sum to it.

    Attributes:
        tokens: of the target, special ones included.
        pairs: those that matter, largest contribution first.
        rest: per query token, what all its other pairs add together.
    """

    tokens: list[TokenSpan]
    pairs: list[Pair]
    rest: list[float]


@dataclass(frozen=True)
class Explanation:
    """The scores of several targets of one query in parts.

    Attributes:
        query_tokens: of the query, special ones included.
        targets: in the order in which they were given.
    """

    query_tokens: list[TokenSpan]
    targets: list[TargetExplanation]


def explain(
    interaction: InteractionConfig,
    query_tokens: Float[Tensor, "query_tokens dim"],
    target_tokens: Float[Tensor, "target_tokens dim"],
) -> Contributions:
    """What each pair of tokens adds to the score of one query with one target; the sum is the score.

    Soft late interaction: the softmax weight of the pair times its cosine; in two ways, the weights of both, each over
    the number of tokens that ask. MaxSim: the cosine of each query token's best pair (the first of several), and 0 for
    the others. The interactions with pooled vectors are linear in the tokens that they average: a mean's dot product is
    the mean of dot products, and each pair has its share of it.

    Args:
        interaction: the score to take apart; query reductions are applied.
        query_tokens: raw, not normalised, at least one, no padding.
        target_tokens: likewise.
    """
    dots = query_tokens @ target_tokens.T
    count, temperature = len(query_tokens), interaction.interaction_temperature
    match interaction.kind:
        case "soft_late_interaction":
            parts = (dots / temperature).softmax(dim=1) * _cosines(dots, query_tokens, target_tokens)
        case "two_way_late_interaction":
            forward = (dots / temperature).softmax(dim=1) / count
            backward = (dots / temperature).softmax(dim=0) / len(target_tokens)
            parts = count * (forward + backward) / 2 * _cosines(dots, query_tokens, target_tokens)
        case "max_sim":
            cosines = _cosines(dots, query_tokens, target_tokens)
            best = cosines.argmax(dim=1, keepdim=True)
            parts = torch.zeros_like(cosines).scatter(1, best, cosines.gather(1, best))
        case "context_match":
            weights = (dots.mean(dim=1, keepdim=True) / temperature).softmax(dim=0)
            norms = inverse_norms(query_tokens)[:, None] * inverse_norms(target_tokens.mean(dim=0))
            return weights * dots * norms / len(target_tokens)
        case "pooled_cosine":
            norms = inverse_norms(query_tokens.mean(dim=0)) * inverse_norms(target_tokens.mean(dim=0))
            return dots * norms / dots.numel()
    return parts / count if interaction.query_reduction == "mean" else parts


def fold(contributions: Contributions, tokens: list[TokenSpan], small_share: float = SMALL_SHARE) -> TargetExplanation:
    """The pairs that matter, one by one, and for each query token the sum of those that do not.

    Args:
        contributions: of one query with one target.
        tokens: of the target.
        small_share: of the contributions of all pairs, signs left aside; smaller ones are folded.
    """
    sizes = contributions.abs()
    kept = (sizes > 0) & (sizes >= small_share * sizes.sum())
    places = kept.nonzero()
    places = places[sizes[kept].argsort(descending=True, stable=True)]
    values = contributions[places[:, 0], places[:, 1]]
    pairs = [
        Pair(query_token, target_token, round(value, _DECIMALS))
        for (query_token, target_token), value in zip(places.tolist(), values.tolist(), strict=True)
    ]
    rest = contributions.masked_fill(kept, 0.0).sum(dim=1)
    return TargetExplanation(tokens, pairs, [round(value, _DECIMALS) for value in rest.tolist()])


def _cosines(
    dots: Contributions,
    query_tokens: Float[Tensor, "query_tokens dim"],
    target_tokens: Float[Tensor, "target_tokens dim"],
) -> Contributions:
    return dots * inverse_norms(query_tokens)[:, None] * inverse_norms(target_tokens)[None, :]

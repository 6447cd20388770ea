"""Scores between token embeddings: pure functions of tensors, no devices and no settings.

Token embeddings come in raw, not normalised. Each function scores every query against every target, padded with
masks; the target space itself is scored by `uwe_core.scoring`, which shares the kernels of this file.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from uwe_core.types import QueryMask, QueryTokens, Scores, TargetMask, TargetTokens

InteractionKind = Literal[
    "soft_late_interaction", "two_way_late_interaction", "max_sim", "context_match", "pooled_cosine"
]
QueryReduction = Literal["sum", "mean"]

# A token whose embedding is all zeros has cosine 0 with everything, as if its norm were this.
SMALLEST_NORM = 1e-12


class InteractionConfig(BaseModel):
    """Which score a model ranks with. Part of the model: it is saved and fingerprinted with the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: InteractionKind = "soft_late_interaction"
    interaction_temperature: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    query_reduction: QueryReduction = "sum"

    @property
    def compares_tokens(self) -> bool:
        """Whether each token of a query meets the single tokens of a target, not their mean."""
        return self.kind in ("soft_late_interaction", "two_way_late_interaction", "max_sim")

    @property
    def has_temperature(self) -> bool:
        """Whether the interaction temperature changes its scores."""
        return self.kind in ("soft_late_interaction", "two_way_late_interaction", "context_match")

    @property
    def bounded_by_query_length(self) -> bool:
        """Whether scores grow with the number of query tokens (and are made comparable by dividing by it)."""
        return self.query_reduction == "sum" and self.compares_tokens


def inverse_norms(tokens: Float[Tensor, "*texts dim"]) -> Float[Tensor, "*texts"]:
    """One over the L2 norm of each token, in float32 at least."""
    tokens = tokens.float() if tokens.dtype in (torch.float16, torch.bfloat16) else tokens
    norms: Tensor = torch.linalg.vector_norm(tokens, dim=-1)
    return norms.clamp_min(SMALLEST_NORM).reciprocal()


def soft_match(
    dots: Float[Tensor, "... query_tokens target_tokens"],
    cosines: Float[Tensor, "... query_tokens target_tokens"],
    interaction_temperature: float,
    target_mask: Tensor | None = None,
) -> Float[Tensor, "... query_tokens"]:
    """What each query token finds in one target: cosines averaged under a softmax of the raw dot products.

    The softmax runs in float32 at least; `target_mask` (broadcast to `dots`) excludes padding with minus infinity.
    """
    logits = (dots.float() if dots.dtype in (torch.float16, torch.bfloat16) else dots) / interaction_temperature
    if target_mask is not None:
        logits = logits.masked_fill(~target_mask, -torch.inf)
    # The softmax written out: torch's own is five times slower on a CPU over as few entries as a target has tokens.
    powers = (logits - logits.amax(dim=-1, keepdim=True).detach()).exp()
    return (powers * cosines).sum(dim=-1) / powers.sum(dim=-1)


def soft_late_interaction(
    query_tokens: QueryTokens,
    target_tokens: TargetTokens,
    query_mask: QueryMask,
    target_mask: TargetMask,
    interaction_temperature: float,
    query_reduction: QueryReduction = "sum",
) -> Scores:
    """Soft late interaction of every query with every target (paper section 3).

    For each query token, a softmax over the target's tokens of the raw dot products divided by the interaction
    temperature weights the cosines; the weighted cosines are summed (or averaged) over the query's tokens. As the
    temperature goes to 0 this becomes the cosine of the target token with the largest dot product. Not symmetric.

    Every query and every target must have at least one real token.
    """
    query_tokens, target_tokens = real_tokens(query_tokens, query_mask), real_tokens(target_tokens, target_mask)
    dots = torch.einsum("qnd,tmd->qtnm", query_tokens, target_tokens)
    cosines = dots * inverse_norms(query_tokens)[:, None, :, None] * inverse_norms(target_tokens)[None, :, None, :]
    matches = soft_match(dots, cosines, interaction_temperature, target_mask[None, :, None, :])
    return reduce_query_tokens(matches, query_mask, query_reduction)


def two_way_late_interaction(
    query_tokens: QueryTokens,
    target_tokens: TargetTokens,
    query_mask: QueryMask,
    target_mask: TargetMask,
    interaction_temperature: float,
    query_reduction: QueryReduction = "sum",
) -> Scores:
    """The mean of soft late interaction in both directions, each a mean over the tokens of its query.

    A target's tokens ask what they find in the query, too, so that a long query is not dragged down by tokens that have
    nothing to do with a target. Not in the paper, but these are the two scores that its loss is trained on. A sum over
    query tokens is that mean times their number.
    """
    forward = soft_late_interaction(
        query_tokens, target_tokens, query_mask, target_mask, interaction_temperature, "mean"
    )
    backward = soft_late_interaction(
        target_tokens, query_tokens, target_mask, query_mask, interaction_temperature, "mean"
    )
    both = (forward + backward.T) / 2
    return both if query_reduction == "mean" else both * query_mask.sum(dim=-1)[:, None]


def max_sim(
    query_tokens: QueryTokens,
    target_tokens: TargetTokens,
    query_mask: QueryMask,
    target_mask: TargetMask,
    query_reduction: QueryReduction = "sum",
) -> Scores:
    """For each query token the largest cosine with a token of the target (ColBERT, Khattab and Zaharia 2020)."""
    query_tokens, target_tokens = real_tokens(query_tokens, query_mask), real_tokens(target_tokens, target_mask)
    query_units = query_tokens * inverse_norms(query_tokens)[..., None]
    target_units = target_tokens * inverse_norms(target_tokens)[..., None]
    cosines = torch.einsum("qnd,tmd->qtnm", query_units, target_units)
    matches = cosines.masked_fill(~target_mask[None, :, None, :], -torch.inf).amax(dim=-1)
    return reduce_query_tokens(matches, query_mask, query_reduction)


def context_match(
    query_tokens: QueryTokens,
    target_tokens: TargetTokens,
    query_mask: QueryMask,
    target_mask: TargetMask,
    interaction_temperature: float,
) -> Scores:
    """The pooled target of the paper's ablation, which is also the score of ConTeXT-Match.

    A softmax over the query's tokens of their raw dot products with the target's mean token weights the cosines
    with that mean.
    """
    query_tokens = real_tokens(query_tokens, query_mask)
    pooled = mean_token(target_tokens, target_mask)
    dots = torch.einsum("qnd,td->qtn", query_tokens, pooled)
    cosines = dots * inverse_norms(query_tokens)[:, None, :] * inverse_norms(pooled)[None, :, None]
    return soft_match(dots, cosines, interaction_temperature, query_mask[:, None, :])


def pooled_cosine(
    query_tokens: QueryTokens, target_tokens: TargetTokens, query_mask: QueryMask, target_mask: TargetMask
) -> Scores:
    """Cosine of the mean tokens: what sentence encoders usually score with."""
    query_means = mean_token(query_tokens, query_mask)
    target_means = mean_token(target_tokens, target_mask)
    query_units = query_means * inverse_norms(query_means)[:, None]
    return query_units @ (target_means * inverse_norms(target_means)[:, None]).T


def interact(
    config: InteractionConfig,
    query_tokens: QueryTokens,
    target_tokens: TargetTokens,
    query_mask: QueryMask,
    target_mask: TargetMask,
) -> Scores:
    """The score that `config` names, of every query with every target."""
    tokens_and_masks = (query_tokens, target_tokens, query_mask, target_mask)
    match config.kind:
        case "soft_late_interaction":
            return soft_late_interaction(*tokens_and_masks, config.interaction_temperature, config.query_reduction)
        case "two_way_late_interaction":
            return two_way_late_interaction(*tokens_and_masks, config.interaction_temperature, config.query_reduction)
        case "max_sim":
            return max_sim(*tokens_and_masks, config.query_reduction)
        case "context_match":
            return context_match(*tokens_and_masks, config.interaction_temperature)
        case "pooled_cosine":
            return pooled_cosine(*tokens_and_masks)


def real_tokens(
    tokens: Float[Tensor, "texts text_tokens dim"], mask: Bool[Tensor, "texts text_tokens"]
) -> Float[Tensor, "texts text_tokens dim"]:
    """The tokens with zeros for padding, which may have held anything, NaN included."""
    return tokens.masked_fill(~mask[..., None], 0.0)


def mean_token(
    tokens: Float[Tensor, "texts text_tokens dim"], mask: Bool[Tensor, "texts text_tokens"]
) -> Float[Tensor, "texts dim"]:
    """The mean of each text's real tokens."""
    return real_tokens(tokens, mask).sum(dim=1) / mask.sum(dim=1)[:, None]


def reduce_query_tokens(
    matches: Float[Tensor, "queries targets query_tokens"], query_mask: QueryMask, query_reduction: QueryReduction
) -> Scores:
    """Sum or mean over the real tokens of each query."""
    summed = matches.masked_fill(~query_mask[:, None, :], 0.0).sum(dim=-1)
    return summed if query_reduction == "sum" else summed / query_mask.sum(dim=-1)[:, None]

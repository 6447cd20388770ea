"""Exact scoring with pooled targets: pooled cosine and ContextMatch need one vector per target."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from uwe_core.interaction import InteractionConfig, inverse_norms, soft_match
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import TokenIndex
from uwe_core.types import Scores


class PooledScorer:
    """Pooled cosine or ContextMatch against every target of an index."""

    def __init__(self, index: TokenIndex, interaction: InteractionConfig) -> None:
        self._interaction = interaction
        self._pooled = pooled_targets(index)
        self._inverse_norms = inverse_norms(self._pooled)

    @torch.inference_mode()
    def score(self, queries: TokenEmbeddings) -> Scores:
        """Float32 scores `[queries, targets]`, targets in the order of their space."""
        if self._interaction.kind == "context_match":
            return torch.stack([self._context_match(tokens.float()) for tokens in queries])
        means = queries.means()
        return (means @ self._pooled.T) * inverse_norms(means)[:, None] * self._inverse_norms

    def _context_match(self, query_tokens: Float[Tensor, "query_tokens dim"]) -> Float[Tensor, " targets"]:
        dots = self._pooled @ query_tokens.T
        cosines = dots * inverse_norms(query_tokens) * self._inverse_norms[:, None]
        return soft_match(dots, cosines, self._interaction.interaction_temperature)


def pooled_targets(index: TokenIndex) -> Float[Tensor, "targets dim"]:
    """The mean token of each target, float32, targets in the order of their space."""
    pooled = torch.empty(len(index), index.manifest.dim, device=index.embeddings.device)
    for group in index.groups():
        pooled[index.order[group.start : group.end]] = group.floats().mean(dim=1)
    return pooled

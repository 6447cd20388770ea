"""Exact token-level scoring in torch: one matrix product per group of targets with the same number of tokens.

Groups are dense, so nothing is padded or masked. They are cut into pieces whose intermediate results stay in the
processor's cache; only the matrix product itself touches main memory.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from uwe_core.interaction import InteractionConfig, inverse_norms, soft_match
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import TokenIndex
from uwe_core.types import Scores

# Dot products per piece. On a CPU one megabyte of float32, about a second-level cache; a GPU wants large launches.
_PIECE_ELEMENTS = {"cpu": 1 << 18, "cuda": 1 << 26}


class GroupedScorer:
    """Soft late interaction (in one or two ways) or MaxSim against every target of an index."""

    def __init__(self, index: TokenIndex, interaction: InteractionConfig) -> None:
        self._interaction = interaction
        self._groups = list(index.groups())
        self._stored_position = index.order.argsort()
        self._piece_elements = _PIECE_ELEMENTS[index.embeddings.device.type]

    @torch.inference_mode()
    def score(self, queries: TokenEmbeddings) -> Scores:
        """Float32 scores `[queries, targets]`, targets in the order of their space."""
        query_tokens = queries.embeddings.float()
        query_inverse_norms = inverse_norms(query_tokens)[:, None]
        scores = query_tokens.new_empty(len(queries), len(self._stored_position))
        for group in self._groups:
            size, tokens = group.inverse_norms.shape
            step = max(1, self._piece_elements // (tokens * len(query_tokens)))
            for first in range(0, size, step):
                last = min(first + step, size)
                rows = group.floats(first, last).flatten(0, 1)
                dots = (query_tokens @ rows.T).unflatten(1, (last - first, tokens))
                norms = group.inverse_norms[first:last]
                found = queries.sum_per_text(self._match(dots, norms) * query_inverse_norms)
                if self._interaction.kind == "two_way_late_interaction":
                    found = (found + self._asked(queries, dots, query_inverse_norms, norms)) / 2
                scores[:, group.start + first : group.start + last] = found
        if self._interaction.query_reduction == "mean":
            scores /= queries.token_counts.to(scores.device)[:, None]
        return scores.index_select(1, self._stored_position)

    def _asked(
        self,
        queries: TokenEmbeddings,
        dots: Float[Tensor, "query_tokens targets target_tokens"],
        query_inverse_norms: Float[Tensor, "query_tokens one"],
        target_inverse_norms: Float[Tensor, "targets target_tokens"],
    ) -> Float[Tensor, "queries targets"]:
        """What the tokens of each target find in each query on average, times the number of the query's tokens."""
        half_cosines = dots * query_inverse_norms[..., None]
        rows = [
            soft_match(
                dots[start:end].movedim(0, -1), half_cosines[start:end].movedim(0, -1),
                self._interaction.interaction_temperature,
            )
            for start, end in pairwise(queries.offsets.tolist())
        ]  # fmt: skip
        means = (torch.stack(rows) * target_inverse_norms).mean(dim=-1)
        return means * queries.token_counts.to(means.device)[:, None]

    def _match(
        self,
        dots: Float[Tensor, "query_tokens targets target_tokens"],
        target_inverse_norms: Float[Tensor, "targets target_tokens"],
    ) -> Float[Tensor, "query_tokens targets"]:
        """What each query token finds in each target, still times the query token's norm."""
        half_cosines = dots * target_inverse_norms
        if self._interaction.kind == "max_sim":
            return half_cosines.amax(dim=-1)
        return soft_match(dots, half_cosines, self._interaction.interaction_temperature)

"""Exact token-level scoring on a GPU by a fused kernel: nothing between a stored token and a score is written.

A program of the grid takes a few targets and up to 16 tokens of one query. The programs of the same targets are
neighbours, so that they find a stored token in the GPU's cache once one of them has read it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from uwe_core.interaction import InteractionConfig, inverse_norms
from uwe_core.scoring.exponents import power_of_two_factor
from uwe_core.scoring.fused_kernel import QUERY_TOKENS, TARGETS, ask_block, score_block
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import TokenIndex
from uwe_core.types import Offsets, Scores


class FusedScorer:
    """Soft late interaction (in one or two ways) or MaxSim against every target of an index on a GPU.

    Raises:
        ConfigurationError: an interaction that compares pooled vectors.
    """

    def __init__(self, index: TokenIndex, interaction: InteractionConfig) -> None:
        self._factor = power_of_two_factor(interaction)
        self._index = index
        self._interaction = interaction
        self._offsets = index.offsets.to(index.embeddings.device)

    @torch.inference_mode()
    def score(self, queries: TokenEmbeddings) -> Scores:
        """Float32 scores `[queries, targets]`, targets in the order of their space."""
        index = self._index
        tokens = queries.embeddings.float().contiguous()
        pieces = cut_queries(queries.offsets)
        rows = pieces.rows.to(tokens.device)
        weights = inverse_norms(tokens)[rows] * pieces.real.to(tokens.device)
        partial = tokens.new_empty(len(rows), len(index))
        score_block[(len(rows) * -(-len(index) // TARGETS),)](
            index.embeddings, index.inverse_norms if index.scales is None else index.scales, index.inverse_norms,
            self._offsets, index.order, tokens, rows, weights, partial,
            len(index), len(rows), tokens.shape[1], self._factor,
            has_scales=index.scales is not None, is_max=self._interaction.kind == "max_sim",
        )  # fmt: skip
        scores = tokens.new_zeros(len(queries), len(index))
        scores.index_add_(0, pieces.queries.to(tokens.device), partial)
        if self._interaction.kind == "two_way_late_interaction":
            counts = queries.token_counts.to(scores.device)[:, None]
            scores = (scores + counts * self._asked(tokens, queries.offsets.to(tokens.device))) / 2
        if self._interaction.query_reduction == "mean":
            scores /= queries.token_counts.to(scores.device)[:, None]
        return scores

    def _asked(self, tokens: Float[Tensor, "query_tokens dim"], bounds: Offsets) -> Scores:
        """What the tokens of each target find in each query, on average."""
        index, queries = self._index, len(bounds) - 1
        found = tokens.new_empty(queries, len(index))
        ask_block[(queries * -(-len(index) // TARGETS),)](
            index.embeddings, index.inverse_norms if index.scales is None else index.scales, index.inverse_norms,
            self._offsets, index.order, tokens, bounds, inverse_norms(tokens), found,
            len(index), queries, tokens.shape[1], self._factor, has_scales=index.scales is not None,
        )  # fmt: skip
        return found


@dataclass(frozen=True)
class QueryPieces:
    """Queries cut into pieces of as many tokens as a program of the grid takes.

    Attributes:
        queries: `[pieces]`, whose piece it is.
        rows: `[pieces, QUERY_TOKENS]`, which query tokens; some token where there is none any more.
        real: `[pieces, QUERY_TOKENS]`, 1 where there is one, 0 elsewhere.
    """

    queries: Int[Tensor, " pieces"]
    rows: Int[Tensor, "pieces piece_tokens"]
    real: Float[Tensor, "pieces piece_tokens"]


def cut_queries(offsets: Offsets) -> QueryPieces:
    """All tokens of each query, a piece after the other."""
    counts = -(-offsets.diff() // QUERY_TOKENS)
    queries = torch.arange(len(counts)).repeat_interleave(counts)
    number = torch.arange(len(queries)) - (counts.cumsum(0) - counts)[queries]
    rows = (offsets[queries] + QUERY_TOKENS * number)[:, None] + torch.arange(QUERY_TOKENS)
    ends = offsets[queries + 1][:, None]
    return QueryPieces(queries, rows.minimum(ends - 1), (rows < ends).float())

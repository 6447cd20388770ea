"""CandidateScorer: proposed targets are gathered into an index of their own, which the exact scorer scores."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

from uwe_core.interaction import InteractionConfig
from uwe_core.scoring.candidates.candidate_index import CandidateIndex
from uwe_core.scoring.candidates.candidate_scores import CandidateScores
from uwe_core.scoring.candidates.gathered import gathered
from uwe_core.scoring.scorer import Scorer, make_scorer
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import TokenIndex

Complete: TypeAlias = Callable[[Int[Tensor, " candidates"]], Int[Tensor, " more_candidates"]]


class CandidateScorer:
    """Scores each query with its candidates alone, by the arithmetic that scores whole spaces on this device.

    Args:
        index: of the space.
        interaction: of any kind.
        candidates: made from that index.
        count: candidates of a query.
        complete: from proposed targets to those that are scored, both ascending; None scores those proposed.
    """

    def __init__(
        self,
        index: TokenIndex,
        interaction: InteractionConfig,
        candidates: CandidateIndex,
        count: int,
        complete: Complete | None = None,
    ) -> None:
        self._index = index
        self._interaction = interaction
        self._candidates = candidates
        self._count = count
        self._complete = complete
        self._stored_position = index.order.cpu().argsort()

    @torch.inference_mode()
    def score(self, queries: TokenEmbeddings) -> list[CandidateScores]:
        """The scores of each query with its candidates."""
        return self._score(queries, self._count)

    def _score(self, queries: TokenEmbeddings, count: int) -> list[CandidateScores]:
        alone = [queries.slice(place, place + 1) for place in range(len(queries))]
        if count >= len(self._index):
            rows = self._exact.score(queries)
            everything = torch.arange(len(self._index), device=rows.device)
            return [self._scores(query, count, everything, row) for query, row in zip(alone, rows, strict=True)]
        proposed = self._candidates.propose(queries.means(), count)
        if not all(map(len, proposed)):  # lists that were looked at may be empty
            return self._score(queries, 2 * count)
        if self._complete is not None:
            proposed = list(map(self._complete, proposed))
        return [self._score_some(query, count, some) for query, some in zip(alone, proposed, strict=True)]

    def _score_some(self, query: TokenEmbeddings, count: int, targets: Int[Tensor, " candidates"]) -> CandidateScores:
        own_index = gathered(self._index, self._stored_position[targets])
        (row,) = make_scorer(own_index, self._interaction).score(query)
        return self._scores(query, count, targets.to(row.device), row)

    def _scores(self, query: TokenEmbeddings, count: int, targets: Tensor, values: Tensor) -> CandidateScores:
        more, these = partial(self._with_more, query), partial(self._score_these, query)
        return CandidateScores(targets, values, count, len(self._index), more, these)

    @torch.inference_mode()
    def _score_these(self, query: TokenEmbeddings, targets: Int[Tensor, " candidates"]) -> CandidateScores:
        return self._score_some(query, len(targets), targets.cpu())

    def _with_more(self, query: TokenEmbeddings, count: int) -> CandidateScores:
        (scores,) = self._score(query, count)
        return scores

    @cached_property
    def _exact(self) -> Scorer:
        """Of all targets; made only when all are wanted."""
        return make_scorer(self._index, self._interaction)

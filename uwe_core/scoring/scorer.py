"""The interface of all scorers, and which one serves an interaction."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from uwe_core.interaction import InteractionConfig
from uwe_core.scoring.grouped import GroupedScorer
from uwe_core.scoring.pooled import PooledScorer
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import TokenIndex
from uwe_core.types import Scores


@runtime_checkable
class Scorer(Protocol):
    """Scores queries against every target of one index."""

    def score(self, queries: TokenEmbeddings) -> Scores:
        """Float32 scores, targets in the order of their space."""
        ...


def make_scorer(index: TokenIndex, interaction: InteractionConfig) -> Scorer:
    """The exact scorer of an interaction, on the device that holds the index."""
    if interaction.kind in ("soft_late_interaction", "max_sim"):
        return GroupedScorer(index, interaction)
    return PooledScorer(index, interaction)

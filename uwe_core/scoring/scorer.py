"""The interface of all scorers, and which one serves an interaction."""

from __future__ import annotations

from importlib.util import find_spec
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
    """The fastest exact scorer of an interaction, on the device that holds the index."""
    if not interaction.compares_tokens:
        return PooledScorer(index, interaction)
    device = index.embeddings.device.type
    if device == "cpu" and find_spec("llvmlite") is not None:
        from uwe_core.scoring.kernel.processor import can_compile  # noqa: PLC0415 - optional, as the compiler in it is
        from uwe_core.scoring.native import NativeScorer  # noqa: PLC0415

        if can_compile(index.manifest.dtype):
            return NativeScorer(index, interaction)
    if device == "cuda" and find_spec("triton") is not None:
        from uwe_core.scoring.fused import FusedScorer  # noqa: PLC0415

        return FusedScorer(index, interaction)
    return GroupedScorer(index, interaction)

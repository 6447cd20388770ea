"""Random scores: what a ranking is worth that knows nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

from uwe_core.types import Scores


class RandomRanking:
    """Uniform scores, drawn anew for each query, the same in every run."""

    name = "random"
    fingerprint = "random-1"
    seen_spaces: frozenset[str] | None = frozenset()

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def scores(self, queries: Sequence[str], targets: Sequence[str], task: str) -> Scores:
        """The text seeds its own row, so the size of chunks changes nothing."""
        return torch.stack([self._row(f"{self._seed} {task} {query}", len(targets)) for query in queries])

    @staticmethod
    def _row(key: str, targets: int) -> torch.Tensor:
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
        return torch.rand(targets, generator=torch.Generator().manual_seed(seed))

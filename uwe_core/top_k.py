"""The best targets of a query, without sorting the rest."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def top_k(scores: Float[Tensor, " targets"], k: int) -> tuple[Int[Tensor, " best"], Float[Tensor, " best"]]:
    """Indices and scores of the `k` best targets, best first; ties by ascending index.

    Targets at minus infinity are excluded and never returned, so fewer than `k` may come back.
    """
    k = min(k, len(scores))
    # torch.topk promises nothing about ties, so it only finds the threshold; everything at or above it competes.
    threshold = scores.topk(k, sorted=False).values.min()
    candidates = ((scores >= threshold) & (scores > -torch.inf)).nonzero()[:, 0]
    best = candidates[scores[candidates].sort(descending=True, stable=True).indices[:k]]
    return best, scores[best]

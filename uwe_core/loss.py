"""The losses: pure functions of scores and of which pairs belong together, in float32 at least."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from uwe_core.types import Scores


class ContrastiveLoss(NamedTuple):
    """A loss of both directions, and how many nodes had no edge in the batch and were left out of it.

    All are tensors on the scores' device, so that reading none of them costs no synchronisation.
    """

    value: Float[Tensor, ""]
    queries_left_out: Int[Tensor, ""]
    targets_left_out: Int[Tensor, ""]


def many_to_many_info_nce(
    forward_scores: Scores,
    backward_scores: Float[Tensor, "targets queries"],
    positives: Bool[Tensor, "queries targets"],
    loss_temperature: float,
) -> ContrastiveLoss:
    """Many-to-many InfoNCE over the distinct nodes of one bipartite graph in a batch (paper, equations 2 and 3).

    For each query the mean over its positives of the negative log of their share in the softmax over all targets of
    the batch, the other positives included; the mean over queries; plus the same with the roles swapped.

    Args:
        forward_scores: `sim(query, target)`.
        backward_scores: `sim(target, query)`, another number, since the interaction is not symmetric.
        positives: every known edge between the nodes of the batch, sampled or not.
        loss_temperature: of the softmax over the batch.
    """
    forward, queries_left_out = _mean_over_positives(forward_scores, positives, loss_temperature)
    backward, targets_left_out = _mean_over_positives(backward_scores, positives.T, loss_temperature)
    return ContrastiveLoss(forward + backward, queries_left_out, targets_left_out)


def info_nce(scores: Scores, positive_target: Int[Tensor, " queries"], loss_temperature: float) -> Float[Tensor, ""]:
    """One-sided InfoNCE (paper, equation 1): one positive a query, every other target of the batch a negative.

    Args:
        scores: `sim(query, target)`.
        positive_target: the index of each query's positive.
        loss_temperature: of the softmax over the batch.
    """
    return torch.nn.functional.cross_entropy(_at_least_float32(scores) / loss_temperature, positive_target)


def pairwise_info_nce(
    forward_scores: Float[Tensor, "pairs pairs"],
    backward_scores: Float[Tensor, "pairs pairs"],
    loss_temperature: float,
) -> Float[Tensor, ""]:
    """The two-sided ablation (paper, table 4): only the other half of a sampled pair is positive."""
    diagonal = torch.arange(len(forward_scores), device=forward_scores.device)
    forward = info_nce(forward_scores, diagonal, loss_temperature)
    return forward + info_nce(backward_scores, diagonal, loss_temperature)


def _mean_over_positives(
    scores: Float[Tensor, "rows columns"], positives: Bool[Tensor, "rows columns"], loss_temperature: float
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """One direction, and the number of rows without a positive; 0 where no row has one."""
    log_shares = (_at_least_float32(scores) / loss_temperature).log_softmax(dim=1)
    counts = positives.sum(dim=1)
    # where, not a product: a share of 0 has the logarithm minus infinity
    per_row = -log_shares.where(positives, 0.0).sum(dim=1) / counts.clamp_min(1)
    judged = (counts > 0).sum()
    return per_row.sum() / judged.clamp_min(1), len(counts) - judged


def _at_least_float32(scores: Tensor) -> Tensor:
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores

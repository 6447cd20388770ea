"""ScoreCounts: how often each score occurs among all pairs of query and target, and among the relevant ones.

A data set has millions of pairs. Normalised scores lie in [-1, 1], so narrow bins hold all that a calibration needs to
know of them, in the same memory for any number of queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from training.workbench.baselines.uwe import TextEncodings, UweRanking
from training.workbench.dataset import RankingDataset
from training.workbench.evaluation import QUERIES_PER_CHUNK, score
from uwe_core.metrics import FloatArray
from uwe_core.model import UweModel
from uwe_core.types import Scores

BINS = 2000
BIN_CENTRES: FloatArray = (np.arange(BINS, dtype=np.float64) + 0.5) * (2 / BINS) - 1
# What a caller sees of a ranking unless told otherwise.
SHOWN = 10


@dataclass(frozen=True)
class ScoreCounts:
    """Counts per bin of the normalised score.

    Attributes:
        pairs: `[bins]`.
        relevant: `[bins]`, of those the relevant ones.
        queries: whose pairs they are.
    """

    pairs: FloatArray
    relevant: FloatArray
    queries: int

    @classmethod
    def of(cls, normalised: Scores, relevant: Scores) -> ScoreCounts:
        """Of scores `[queries, targets]` and 1 or 0 for relevant or not; excluded targets (minus infinity) are none."""
        kept = torch.isfinite(normalised)
        places = ((normalised[kept] + 1) * (BINS / 2)).long().clamp(0, BINS - 1).cpu()
        weights = relevant[kept].double().cpu()
        return cls(
            torch.bincount(places, minlength=BINS).double().numpy(),
            torch.bincount(places, weights, minlength=BINS).numpy(),
            len(normalised),
        )

    def __add__(self, other: ScoreCounts) -> ScoreCounts:
        return ScoreCounts(self.pairs + other.pairs, self.relevant + other.relevant, self.queries + other.queries)


@dataclass(frozen=True)
class TaskCounts:
    """The counts of one task: of all pairs, and of those that a ranking shows first."""

    every: ScoreCounts
    shown: ScoreCounts

    def __add__(self, other: TaskCounts) -> TaskCounts:
        return TaskCounts(self.every + other.every, self.shown + other.shown)


def count_tasks(model: UweModel, datasets: Sequence[RankingDataset]) -> dict[str, TaskCounts]:
    """The counts of each task; data sets of one task are put together."""
    encodings = TextEncodings(model.encoder)
    ranking = UweRanking("calibrated", model, encodings)
    counts: dict[str, TaskCounts] = {}
    for dataset in datasets:
        for first in range(0, len(dataset.queries), QUERIES_PER_CHUNK):
            part = dataset.select(range(first, min(first + QUERIES_PER_CHUNK, len(dataset.queries))))
            found = _count(ranking, encodings, part)
            counts[dataset.task] = counts[dataset.task] + found if dataset.task in counts else found
    return counts


@torch.inference_mode()
def _count(ranking: UweRanking, encodings: TextEncodings, dataset: RankingDataset) -> TaskCounts:
    scores = score(ranking, dataset, dataset.queries)
    if ranking.interaction.bounded_by_query_length:
        scores /= encodings.queries(dataset.queries).token_counts.to(scores.device)[:, None]
    relevant = torch.zeros_like(scores)
    for row, positives in zip(relevant, dataset.positives, strict=True):
        row[list(positives)] = 1
    best = scores.topk(min(SHOWN, scores.shape[1]), dim=1)
    return TaskCounts(ScoreCounts.of(scores, relevant), ScoreCounts.of(best.values, relevant.gather(1, best.indices)))

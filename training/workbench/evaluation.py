"""Judge a ranking model on a data set, in chunks of queries, so that all scores never exist at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from training.workbench.baselines.interface import RankingModel
from training.workbench.dataset import RankingDataset
from uwe_core.metrics import FloatArray, PositiveRanks, bootstrap_interval, per_query, positive_ranks
from uwe_core.text import same_text_key
from uwe_core.types import Scores

METRICS = ("map", "rp@10", "mrr", "ndcg@10", "recall@10", "hit@10")
# Large enough that targets are read once for many queries, small enough for 14,000 targets to stay in memory.
QUERIES_PER_CHUNK = 256

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Judgement:
    """How one model ranks one data set: the ranks of all positives, of which every metric is a function.

    Attributes:
        seconds: of scoring and judging; encoding is in it where it was not done already.
    """

    model: str
    dataset: RankingDataset
    ranks: PositiveRanks
    seconds: float

    def values(self, metric: str) -> FloatArray:
        """One value per query."""
        return per_query(self.ranks, metric)

    def mean(self, metric: str) -> float:
        """The mean over queries."""
        return float(self.values(metric).mean())

    def interval(self, metric: str) -> tuple[float, float]:
        """Its 95 % bootstrap interval."""
        return bootstrap_interval(self.values(metric))


def judge(model: RankingModel, dataset: RankingDataset, progress: Progress | None = None) -> Judgement:
    """Rank every query of a data set.

    Raises:
        JudgementError: the model gave scores that cannot be judged.
    """
    start = time.perf_counter()
    parts: list[PositiveRanks] = []
    for first in range(0, len(dataset.queries), QUERIES_PER_CHUNK):
        chunk = slice(first, first + QUERIES_PER_CHUNK)
        scores = score(model, dataset, dataset.queries[chunk])
        parts.append(positive_ranks(scores, dataset.positives[chunk]))
        if progress is not None:
            progress(min(chunk.stop, len(dataset.queries)), len(dataset.queries))
    return Judgement(model.name, dataset, PositiveRanks.concatenate(parts), time.perf_counter() - start)


def score(model: RankingModel, dataset: RankingDataset, queries: Sequence[str]) -> Scores:
    """A model's scores of all targets, the query's own text excluded where the data set says so."""
    with torch.inference_mode():
        scores = model.scores(queries, dataset.targets, dataset.task)
        if dataset.exclude_query:
            for row, query in zip(scores, queries, strict=True):
                row[dataset.targets_by_text.get(same_text_key(query), [])] = -torch.inf
    return scores

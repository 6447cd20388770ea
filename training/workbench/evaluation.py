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

METRICS = ("map", "rp@10", "mrr", "ndcg@10", "recall@10", "hit@10")
# Large enough that targets are read once for many queries, small enough for 14,000 targets to stay in memory.
QUERIES_PER_CHUNK = 256

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Judgement:
    """How well one model ranks one data set.

    Attributes:
        values: per metric one value per query.
        seconds: of scoring and judging, encoding included where it was not done already.
    """

    model: str
    dataset: RankingDataset
    ranks: PositiveRanks
    values: dict[str, FloatArray]
    seconds: float

    def mean(self, metric: str) -> float:
        """The mean over queries."""
        return float(self.values[metric].mean())

    def interval(self, metric: str) -> tuple[float, float]:
        """Its 95 % bootstrap interval."""
        return bootstrap_interval(self.values[metric])


def judge(
    model: RankingModel, dataset: RankingDataset, metrics: Sequence[str] = METRICS, progress: Progress | None = None
) -> Judgement:
    """Rank every query of a data set.

    Raises:
        JudgementError: the model gave scores that cannot be judged.
    """
    start = time.perf_counter()
    excluded = _targets_by_text(dataset) if dataset.exclude_query else {}
    parts: list[PositiveRanks] = []
    for first in range(0, len(dataset.queries), QUERIES_PER_CHUNK):
        chunk = slice(first, first + QUERIES_PER_CHUNK)
        queries = dataset.queries[chunk]
        with torch.inference_mode():
            scores = model.scores(queries, dataset.targets, dataset.task)
            for row, query in zip(scores, queries, strict=True) if excluded else ():
                row[excluded.get(same_text_key(query), [])] = -torch.inf
            parts.append(positive_ranks(scores, dataset.positives[chunk]))
        if progress is not None:
            progress(min(chunk.stop, len(dataset.queries)), len(dataset.queries))
    ranks = PositiveRanks.concatenate(parts)
    values = {metric: per_query(ranks, metric) for metric in metrics}
    return Judgement(model.name, dataset, ranks, values, time.perf_counter() - start)


def _targets_by_text(dataset: RankingDataset) -> dict[str, list[int]]:
    by_text: dict[str, list[int]] = {}
    for index, text in enumerate(dataset.targets):
        by_text.setdefault(same_text_key(text), []).append(index)
    return by_text

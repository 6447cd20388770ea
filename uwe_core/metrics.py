"""Ranking metrics from the ranks of the positives alone: nothing is sorted, and NaN is never judged.

Definitions: MAP is the mean over queries of the mean over positives of the precision at their rank. RP@k is the hits
in the top k over min(k, number of positives). Ties rank by ascending target index. Queries without a positive are left
out, and counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from uwe_core.errors import JudgementError
from uwe_core.types import Scores

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

# Comparisons made at a time while counting ranks; 64 MB of float32.
_CHUNK_ELEMENTS = 1 << 24
_METRIC = re.compile(r"(map|mrr|ndcg|(?:rp|ndcg|recall|hit)@([1-9]\d*))")


@dataclass(frozen=True)
class PositiveRanks:
    """The rank of every positive of every query, 1 is best.

    Attributes:
        query: `[edges]`, the query each positive belongs to, ascending.
        rank: `[edges]`, ascending within a query.
        gain: `[edges]`, the relevance of each positive; 1 where it is not graded.
        queries: how many queries were judged, those without a positive included.
    """

    query: IntArray
    rank: IntArray
    gain: FloatArray
    queries: int

    @property
    def left_out(self) -> int:
        """Queries without a positive; no metric has a value for them."""
        return self.queries - len(np.unique(self.query))

    @staticmethod
    def concatenate(parts: Sequence[PositiveRanks]) -> PositiveRanks:
        """The ranks of consecutive chunks of queries as one."""
        starts = np.cumsum([0, *(part.queries for part in parts)])
        return PositiveRanks(
            np.concatenate([part.query + start for part, start in zip(parts, starts[:-1], strict=True)]),
            np.concatenate([part.rank for part in parts]),
            np.concatenate([part.gain for part in parts]),
            int(starts[-1]),
        )


def positive_ranks(
    scores: Scores, positives: Sequence[Sequence[int]], relevance: Sequence[Sequence[float]] | None = None
) -> PositiveRanks:
    """Ranks of the positives by counting the targets above them.

    Args:
        scores: `[queries, targets]`; minus infinity excludes a target, which then ranks last.
        positives: per query the indices of its relevant targets.
        relevance: per query the graded relevance of each of them, for nDCG.

    Raises:
        JudgementError: a score is NaN or plus infinity; a positive is repeated, out of range or excluded.
    """
    if len(positives) != len(scores):
        raise JudgementError(f"{len(scores)} rows of scores, but positives of {len(positives)} queries")
    if bool(torch.isnan(scores).any()) or bool((scores == torch.inf).any()):
        raise JudgementError("a score is NaN or plus infinity")
    query = np.repeat(np.arange(len(positives)), [len(row) for row in positives]).astype(np.int64)
    target = np.array([index for row in positives for index in row], dtype=np.int64)
    gain = np.ones(len(target)) if relevance is None else np.array([value for row in relevance for value in row])
    _refuse_bad_positives(scores, query, target, gain)
    rank = _count_ranks(scores, query, target)
    order = np.lexsort((rank, query))
    return PositiveRanks(query, rank[order], gain[order].astype(np.float64), len(positives))


def per_query(ranks: PositiveRanks, metric: str) -> FloatArray:
    """A metric's value for each query that has a positive, in the order of the queries.

    Args:
        ranks: of all positives.
        metric: `map`, `mrr`, `ndcg`, or `rp@k`, `ndcg@k`, `recall@k`, `hit@k` for any k.

    Raises:
        JudgementError: no such metric, or no query has a positive.
    """
    parsed = _METRIC.fullmatch(metric)
    if parsed is None:
        raise JudgementError(f"no metric '{metric}': there are map, mrr, ndcg, and rp@k, ndcg@k, recall@k, hit@k")
    if len(ranks.query) == 0:
        raise JudgementError("no query has a positive: there is nothing to judge")
    return _METRICS[metric.partition("@")[0]](_Judged.of(ranks), int(parsed[2] or np.iinfo(np.int64).max))


def bootstrap_interval(values: FloatArray, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of the mean over queries; of a difference of two models, given differences."""
    ((low, high),) = bootstrap_intervals(values[:, None], resamples, seed)
    return low, high


def bootstrap_intervals(values: FloatArray, resamples: int = 1000, seed: int = 0) -> list[tuple[float, float]]:
    """The intervals of several columns `[queries, columns]` at once: each resample draws the same queries for all."""
    generator = np.random.default_rng(seed)
    queries = len(values)
    means = np.empty((resamples, values.shape[1]))
    for resample in range(resamples):
        # How often each query was drawn, times its values: a product of matrices instead of a gather per column.
        drawn = np.bincount(generator.integers(0, queries, queries), minlength=queries)
        means[resample] = drawn @ values / queries
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def task_average(values: Mapping[str, float], groups: Mapping[str, str]) -> float:
    """The mean over tasks, where data sets of the same group are first averaged into one task.

    Args:
        values: a metric by data set.
        groups: the task each data set belongs to; a data set that is not named is a task of its own.
    """
    by_task: dict[str, list[float]] = {}
    for name, value in values.items():
        by_task.setdefault(groups.get(name, name), []).append(value)
    return float(np.mean([np.mean(of_task) for of_task in by_task.values()]))


def _refuse_bad_positives(scores: Scores, query: IntArray, target: IntArray, gain: FloatArray) -> None:
    if len(gain) != len(target):
        raise JudgementError("relevance and positives differ in length")
    if len(target) and (target.min() < 0 or target.max() >= scores.shape[1]):
        raise JudgementError(f"a positive is out of range: there are {scores.shape[1]} targets")
    if len(np.unique(np.stack([query, target]), axis=1).T) != len(target):
        raise JudgementError("a positive is named twice for the same query")
    if bool(torch.isneginf(scores[query, target]).any()):
        raise JudgementError("a positive is excluded (its score is minus infinity)")


def _count_ranks(scores: Scores, query: IntArray, target: IntArray) -> IntArray:
    """1 + the targets with a higher score + those with an equal score and a smaller index, chunk by chunk."""
    ranks = np.empty(len(query), dtype=np.int64)
    columns = torch.arange(scores.shape[1], device=scores.device)
    step = max(1, _CHUNK_ELEMENTS // scores.shape[1])
    for start in range(0, len(query), step):
        rows = scores[query[start : start + step]]
        positions = torch.from_numpy(target[start : start + step]).to(scores.device)[:, None]
        own = rows.gather(1, positions)
        above = (rows > own).sum(dim=1) + ((rows == own) & (columns < positions)).sum(dim=1)
        ranks[start : start + step] = (above + 1).cpu().numpy()
    return ranks


@dataclass(frozen=True)
class _Judged:
    """Ranks with the queries that have a positive numbered anew, and what every metric needs of them."""

    query: IntArray
    rank: IntArray
    gain: FloatArray
    counts: IntArray  # positives of each query
    nth: IntArray  # 1 for a query's best positive, 2 for the next

    @classmethod
    def of(cls, ranks: PositiveRanks) -> _Judged:
        _, query, counts = np.unique(ranks.query, return_inverse=True, return_counts=True)
        nth = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
        return cls(query, ranks.rank, ranks.gain, counts, nth)

    def total(self, values: NDArray[Any]) -> FloatArray:
        """The sum of a value over each query's positives."""
        return np.bincount(self.query, weights=values.astype(np.float64), minlength=len(self.counts)).astype(np.float64)

    def hits(self, k: int) -> FloatArray:
        return self.total(self.rank <= k)


def _ndcg(judged: _Judged, k: int) -> FloatArray:
    gained = (2.0**judged.gain - 1.0) * (judged.rank <= k) / np.log2(1.0 + judged.rank)
    best_first = judged.gain[np.lexsort((-judged.gain, judged.query))]
    ideal = (2.0**best_first - 1.0) * (judged.nth <= k) / np.log2(1.0 + judged.nth)
    return judged.total(gained) / judged.total(ideal)


_METRICS: dict[str, Callable[[_Judged, int], FloatArray]] = {
    "map": lambda judged, _: judged.total(judged.nth / judged.rank) / judged.counts,
    "mrr": lambda judged, _: judged.total((judged.nth == 1) / judged.rank),
    "rp": lambda judged, k: judged.hits(k) / np.minimum(k, judged.counts),
    "recall": lambda judged, k: judged.hits(k) / judged.counts,
    "hit": lambda judged, k: np.minimum(judged.hits(k), 1.0),
    "ndcg": _ndcg,
}

"""Percentiles and ratios of measured times: pure functions of numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """What many measured times come to, in milliseconds."""

    count: int
    p50: float
    p95: float
    p99: float
    mean: float
    worst: float


@dataclass(frozen=True)
class Ratio:
    """How many times as long one takes as another: per round of one run, the ratio of medians; over rounds, these.

    Attributes:
        median: of the rounds.
        lowest, highest: of the rounds; where 1 lies between them the run has not told the two apart.
    """

    median: float
    lowest: float
    highest: float


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that is not exceeded by that share of them (nearest rank; nothing is interpolated).

    Args:
        values: at least one.
        share: in (0, 1].
    """
    ordered = sorted(values)
    # rounding lets 0.07 * 100 step over 7, which must not step to the next rank
    return ordered[max(0, math.ceil(round(share * len(ordered), 9)) - 1)]


def summarise(seconds: Sequence[float]) -> Summary | None:
    """The summary of times in seconds; None where there are none."""
    if not seconds:
        return None
    p50, p95, p99 = (1000 * percentile(seconds, share) for share in (0.5, 0.95, 0.99))
    return Summary(len(seconds), p50, p95, p99, 1000 * statistics.fmean(seconds), 1000 * max(seconds))


def ratio(seconds: Sequence[Sequence[float]], base: Sequence[Sequence[float]]) -> Ratio:
    """The first over the second, both by round, the same rounds in the same order."""
    ratios = [statistics.median(own) / statistics.median(other) for own, other in zip(seconds, base, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))

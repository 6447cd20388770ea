"""Estimate: the mean of a few runs, and how far it may be from that of all runs that could have been."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        runs: how many.
        mean: of them.
        standard_error: of the mean; None of a single run.
        half_width: of the 95 % interval by Student's t; None of a single run.
    """

    runs: int
    mean: float
    standard_error: float | None
    half_width: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The estimate from one value of each run, at least one."""
        mean, runs = statistics.fmean(values), len(values)
        if runs == 1:
            return cls(runs, mean, None, None)
        error = statistics.stdev(values) / math.sqrt(runs)
        quantile = float(stdtrit(runs - 1, (1 + CONFIDENCE) / 2))
        return cls(runs, mean, error, quantile * error)

    def text(self, error: float | None, *, signed: bool = False) -> str:
        """The mean with two digits, and plus or minus one of its errors where there is one."""
        mean = f"{self.mean:+.2f}" if signed else f"{self.mean:.2f}"
        return mean if error is None else f"{mean} ± {error:.2f}"

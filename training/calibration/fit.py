"""Fit a calibration on counted scores, and judge it on others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from training.calibration.score_counts import BIN_CENTRES, ScoreCounts, TaskCounts
from uwe_core.calibration import Calibration
from uwe_core.errors import DataError
from uwe_core.metrics import FloatArray

# Bins of equal width, as in Guo et al. 2017.
CONFIDENCE_BINS = 10
# A penalty so weak that it only keeps curves finite where scores separate relevant pairs from all others.
_INVERSE_PENALTY = 1e6


@dataclass(frozen=True)
class Reliability:
    """How far confidences are from what came true.

    Attributes:
        mean_confidence, observed, pairs: `[bins]` of confidence; observed is the share of relevant pairs.
        base_rate: share of relevant pairs among all.
        calibration_error: expected calibration error, in [0, 1].
        brier: mean squared error of the confidence, in [0, 1].
        brier_of_base_rate: of a confidence that is always the base rate; a useful one is below it.
    """

    mean_confidence: FloatArray
    observed: FloatArray
    pairs: FloatArray
    base_rate: float
    calibration_error: float
    brier: float
    brier_of_base_rate: float

    def figures(self) -> dict[str, float]:
        """The single numbers."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, float)}


def fit(counts: ScoreCounts, targets: int, *, per_query_token: bool) -> Calibration:
    """The logistic curve of largest likelihood over all pairs.

    Args:
        counts: of all pairs of the queries that may choose.
        targets: of the target space.
        per_query_token: whether the scores were divided by the query's tokens.

    Raises:
        DataError: no pair is relevant, or every one is.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - slow to import, needed here alone

    others = counts.pairs - counts.relevant
    if not counts.relevant.any() or not others.any():
        raise DataError("calibration", None, "needs relevant pairs and others")
    scores = np.concatenate([BIN_CENTRES, BIN_CENTRES])
    weights = np.concatenate([counts.relevant, others])
    labels = np.repeat([1, 0], len(BIN_CENTRES))
    kept = weights > 0
    centre, width = _moments(counts)
    curve = LogisticRegression(C=_INVERSE_PENALTY, solver="newton-cholesky", max_iter=1000, tol=1e-6)
    curve.fit((scores[kept, None] - centre) / width, labels[kept], weights[kept])
    slope = max(0.0, float(curve.coef_[0, 0]) / width)  # a model worse than chance has nothing to say
    intercept = float(curve.intercept_[0]) - slope * centre
    if slope == 0.0:
        rate = float(counts.relevant.sum() / counts.pairs.sum())
        intercept = float(np.log(rate / (1 - rate)))
    return Calibration(
        slope=slope, intercept=intercept, per_query_token=per_query_token, targets=targets, queries=counts.queries
    )


def reliability(calibration: Calibration, counts: ScoreCounts) -> Reliability:
    """How well a calibration does on counted scores of other queries."""
    confidences = confidences_of(calibration)
    places = np.minimum((confidences * CONFIDENCE_BINS).astype(int), CONFIDENCE_BINS - 1)
    pairs, expected, relevant = (
        np.bincount(places, weights, minlength=CONFIDENCE_BINS)
        for weights in (counts.pairs, counts.pairs * confidences, counts.relevant)
    )
    filled = np.maximum(pairs, 1)
    total = pairs.sum()
    rate = float(relevant.sum() / total)
    squared = counts.relevant * (1 - confidences) ** 2 + (counts.pairs - counts.relevant) * confidences**2
    return Reliability(
        mean_confidence=expected / filled,
        observed=relevant / filled,
        pairs=pairs.astype(np.float64),
        base_rate=rate,
        calibration_error=float(np.abs(expected - relevant).sum() / total),
        brier=float(squared.sum() / total),
        brier_of_base_rate=rate * (1 - rate),
    )


def fit_tasks(
    counts: Mapping[str, TaskCounts], targets: Mapping[str, int], *, per_query_token: bool
) -> dict[str, Calibration]:
    """A calibration of each task."""
    return {
        task: fit(found.every, targets[task], per_query_token=per_query_token) for task, found in sorted(counts.items())
    }


def confidences_of(calibration: Calibration) -> FloatArray:
    """The confidence of each bin's centre, `[bins]`."""
    of_one_token = calibration.model_copy(update={"per_query_token": False})
    return np.array([of_one_token.confidence(float(centre), 1) for centre in BIN_CENTRES])


def _moments(counts: ScoreCounts) -> tuple[float, float]:
    """Mean and standard deviation of the scores: the solver wants numbers of size one."""
    total = counts.pairs.sum()
    mean = float((counts.pairs * BIN_CENTRES).sum() / total)
    variance = float((counts.pairs * (BIN_CENTRES - mean) ** 2).sum() / total)
    return mean, max(variance**0.5, float(BIN_CENTRES[1] - BIN_CENTRES[0]))

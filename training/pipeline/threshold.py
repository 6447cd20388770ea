"""The confidence from which a prediction counts, chosen on sentences that people have annotated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from pydantic import BaseModel, ConfigDict

from training.pipeline.extract import best, confidence, skill_scorer
from training.workbench.dataset import RankingDataset
from uwe_core.model import UweModel

THRESHOLD_FILE = "threshold.json"
_STEPS = 101


class CurvePoint(BaseModel):
    """What one threshold would give."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float
    precision: float
    recall: float
    f_score: float


class ThresholdChoice(BaseModel):
    """`threshold.json`: the choice and the curve that it was made on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float
    chosen_on: tuple[str, ...]
    precision_weight: float
    curve: tuple[CurvePoint, ...]

    @classmethod
    def given(cls, threshold: float) -> ThresholdChoice:
        """A threshold that the configuration names."""
        return cls(threshold=threshold, chosen_on=(), precision_weight=1.0, curve=())

    @classmethod
    def read(cls, folder: Path) -> ThresholdChoice:
        """The choice of a finished stage."""
        return cls.model_validate_json((folder / THRESHOLD_FILE).read_text())


@dataclass(frozen=True)
class JudgedPredictions:
    """The best predictions of annotated sentences: how confident each is, whether it is right, and what is to be found.

    Attributes:
        confidences: of all predictions of all sentences.
        right: which of them are annotated.
        annotated: how many annotations there are.
    """

    confidences: Float[ndarray, " predictions"]
    right: Bool[ndarray, " predictions"]
    annotated: int


def choose_threshold(
    model: UweModel, datasets: Sequence[RankingDataset], indexes: Path, most_per_sentence: int, precision_weight: float
) -> ThresholdChoice:
    """The threshold with the best F score over all predictions, with precision counting more than recall."""
    judged = [judge_predictions(model, dataset, indexes, most_per_sentence) for dataset in datasets]
    pooled = JudgedPredictions(
        np.concatenate([part.confidences for part in judged]),
        np.concatenate([part.right for part in judged]),
        sum(part.annotated for part in judged),
    )
    curve = threshold_curve(pooled, precision_weight)
    chosen = max(curve, key=lambda point: (point.f_score, point.threshold))
    return ThresholdChoice(
        threshold=chosen.threshold,
        chosen_on=tuple(dataset.title for dataset in datasets),
        precision_weight=precision_weight,
        curve=tuple(curve),
    )


def judge_predictions(
    model: UweModel, dataset: RankingDataset, indexes: Path, most_per_sentence: int
) -> JudgedPredictions:
    """Predict every sentence of a data set, however little confident."""
    scorer = skill_scorer(model, dataset.targets, indexes)
    confidences, right = [], []
    for batch in model.encoder.batches(model.encoder.tokenise(dataset.queries)):
        values, skills = best(confidence(model, scorer, batch.tokens), most_per_sentence)
        for position, row, columns in zip(batch.positions, values.tolist(), skills.tolist(), strict=True):
            confidences += row
            right += [skill in dataset.positives[position] for skill in columns]
    return JudgedPredictions(np.array(confidences), np.array(right), sum(map(len, dataset.positives)))


def threshold_curve(judged: JudgedPredictions, precision_weight: float) -> list[CurvePoint]:
    """Precision, recall and F at thresholds between the lowest and the highest confidence.

    `precision_weight` times as much weight lies on precision as on recall: F_beta with beta its inverse (van
    Rijsbergen 1979).
    """
    beta_squared = precision_weight**-2
    points = []
    for threshold in np.linspace(judged.confidences.min(), judged.confidences.max(), _STEPS).round(3):
        kept = judged.confidences >= threshold
        hits = float(judged.right[kept].sum())
        precision = hits / max(1, int(kept.sum()))
        recall = hits / judged.annotated
        weighted = beta_squared * precision + recall
        f_score = (1 + beta_squared) * precision * recall / weighted if weighted else 0.0
        points.append(CurvePoint(threshold=threshold, precision=precision, recall=recall, f_score=f_score))
    return points

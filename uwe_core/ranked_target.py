"""RankedTarget: one row of an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from uwe_core.explanation import TargetExplanation


@dataclass(frozen=True)
class RankedTarget:
    """One target of a ranking.

    Attributes:
        score: the interaction's own value; soft late interaction grows with the number of query tokens.
        normalised_score: in [-1, 1], comparable between queries.
        rank: 1 is best.
        confidence: the probability that it is relevant, in [0, 1]; None where the model has no calibration of the task.
        explanation: of the score; None where nobody asked for one.
        matched_alias: to which it owes its score; None where its own text is as good, or aliases are not matched.
    """

    id: str
    text: str
    score: float
    normalised_score: float
    rank: int
    metadata: dict[str, Any]
    confidence: float | None = None
    explanation: TargetExplanation | None = None
    matched_alias: str | None = None

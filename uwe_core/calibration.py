"""Calibration: from a score to the probability that the target is relevant, for one task of one model.

A logistic curve over the score (Platt 1999). Scores that are summed over query tokens grow with the query's length, so
the curve is over their mean per query token, which lies in [-1, 1] as all other scores do.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Calibration(BaseModel):
    """The curve of one task, with what it was fitted on. Never falls where the score rises.

    Attributes:
        slope: of the curve in log odds per unit of the normalised score.
        intercept: log odds at a normalised score of 0.
        per_query_token: whether scores are sums over query tokens, to be divided by their number.
        targets: of the target space that it was fitted on; among more of them fewer are relevant.
        queries: that it was fitted on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    slope: float = Field(ge=0, allow_inf_nan=False)
    intercept: float = Field(allow_inf_nan=False)
    per_query_token: bool
    targets: int = Field(ge=1)
    queries: int = Field(ge=1)

    def confidence(self, score: float, query_tokens: int) -> float:
        """The probability, in [0, 1], that a target of this score is relevant; 0 for an excluded one.

        Args:
            score: as the model's interaction gives it; minus infinity excludes.
            query_tokens: of the query, special tokens included; at least 1.
        """
        if score == -math.inf:
            return 0.0
        normalised = score / query_tokens if self.per_query_token else score
        return logistic(self.slope * max(-1.0, min(1.0, normalised)) + self.intercept)


def logistic(log_odds: float) -> float:
    """`1 / (1 + exp(-log_odds))`, without overflow."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    power = math.exp(log_odds)
    return power / (1 + power)

"""Scoring a whole target space from its token index: one interface, one file per way of doing it."""

from uwe_core.scoring.scorer import Scorer, make_scorer

__all__ = ["Scorer", "make_scorer"]

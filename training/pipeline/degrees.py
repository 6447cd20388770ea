"""How many texts each skill has: the long tail that generated titles are to fill (paper, figure 2c)."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import polars as pl
from jaxtyping import Int64
from numpy import ndarray

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def degrees(edges: pl.DataFrame, skills: int, sources: Collection[str] | None = None) -> Int64[ndarray, " skills"]:
    """The number of edges of each skill, highest first.

    Args:
        edges: of a graph, with `skill_id` and `source`.
        skills: how many there are, those without an edge too.
        sources: only edges that came from these; all where None.
    """
    kept = edges if sources is None else edges.filter(pl.col("source").is_in(list(sources)))
    return np.sort(np.bincount(kept["skill_id"].to_numpy(), minlength=skills))[::-1]


def coverage(counts: Int64[ndarray, " skills"]) -> float:
    """The share of skills with at least one edge."""
    return float((counts > 0).mean()) if len(counts) else 0.0

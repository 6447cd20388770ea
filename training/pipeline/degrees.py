"""How many texts each skill has: the long tail that generated titles are to fill (paper, figure 2c)."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from uwe_core.graph import BipartiteGraph

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def degrees(graph: BipartiteGraph, sources: Collection[str] | None = None) -> Int64[ndarray, " queries"]:
    """The number of targets of each query, highest first.

    Args:
        graph: whose queries are counted, those without an edge too.
        sources: only targets that came from these; all where None.
    """
    counted = np.array([sources is None or source in sources for source in graph.sources], dtype=bool)
    queries = graph.edges[counted[graph.edges[:, 1]], 0] if len(graph.edges) else graph.edges[:, 0]
    return np.sort(np.bincount(queries, minlength=len(graph.queries)))[::-1]


def coverage(counts: Int64[ndarray, " queries"]) -> float:
    """The share of queries with at least one target."""
    return float((counts > 0).mean()) if len(counts) else 0.0

"""Sentences put beside a sampled one, so that a model learns to find a skill among other things (paper, appendix A)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from uwe_core.batches.adjacency import neighbours
from uwe_core.batches.batch import BatchText
from uwe_core.graph import BipartiteGraph


def harmless_targets(
    graph: BipartiteGraph, queries: Int64[ndarray, " queries"], targets: Int64[ndarray, " targets"]
) -> Int64[ndarray, " harmless"]:
    """Targets of the graph that have an edge with none of `queries` and are none of `targets`."""
    harmless: Bool[ndarray, " all_targets"] = np.ones(len(graph.targets), dtype=np.bool_)
    harmless[neighbours(graph.targets_of, queries)[1]] = False
    harmless[targets] = False
    return np.flatnonzero(harmless)


def augmented(
    texts: Sequence[str],
    pool: Sequence[str],
    candidates: Int64[ndarray, " candidates"],
    probability: float,
    random: np.random.Generator,
    *,
    barred: Collection[str],
) -> list[BatchText]:
    """Each text, with that probability with one of the candidates before or after it, half each.

    Args:
        texts: distinct.
        pool: what `candidates` number.
        candidates: drawn from uniformly, with replacement; none leaves all texts alone.
        probability: of a text being augmented.
        random: where the draws come from.
        barred: texts that stand beside no other; one that draws such a text stays alone.
    """
    if not len(candidates):
        return [BatchText(text) for text in texts]
    drawn = random.choice(candidates, len(texts))
    chances, before = random.random(len(texts)), random.random(len(texts)) < 0.5
    pieces = []
    for text, other, chance, first in zip(texts, drawn, chances, before, strict=True):
        beside = pool[other]
        if chance >= probability or beside in barred:
            pieces.append(BatchText(text))
        else:
            pieces.append(BatchText(text, prefix=beside) if first else BatchText(text, suffix=beside))
    return pieces

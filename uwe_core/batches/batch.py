"""Batch: nodes of several bipartite graphs that are trained on together, and every edge between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray


class BatchText(NamedTuple):
    """One text to encode: a node's own text, and what augmentation has put before or after it."""

    text: str
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True)
class GraphBatch:
    """The nodes of one graph in a batch.

    Attributes:
        name: of the graph.
        query_texts: per query, the number of its text among the batch's.
        target_texts: per target, likewise.
        positives: every edge of the whole graph between these nodes, sampled or not.
        sampled: per query, the index of the one target that was drawn for it, for losses with one positive.
        left_out: drawn queries that are not here: without an edge in this graph, or without a target under the caps.
    """

    name: str
    query_texts: Int64[ndarray, " queries"]
    target_texts: Int64[ndarray, " targets"]
    positives: Bool[ndarray, "queries targets"]
    sampled: Int64[ndarray, " queries"]
    left_out: int


@dataclass(frozen=True)
class Batch:
    """Distinct texts, each encoded once whichever graphs it is in, and the graphs that have a node here."""

    texts: Sequence[BatchText]
    graphs: Sequence[GraphBatch]


class TextNumbers:
    """Numbers distinct texts in order of appearance."""

    def __init__(self) -> None:
        self._numbers: dict[BatchText, int] = {}

    def of(self, texts: Iterable[BatchText]) -> Int64[ndarray, " texts"]:
        """The number of each text; a new one gets the next."""
        numbers = self._numbers
        return np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int64)

    @property
    def texts(self) -> list[BatchText]:
        """All texts by number."""
        return list(self._numbers)

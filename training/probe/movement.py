"""How far a variant of a query moves the ranking: the neutral query's best targets, and where they went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from training.probe.texts import CONTROL, ProbeQuery
from training.workbench.baselines.interface import RankingModel
from training.workbench.evaluation import Progress
from uwe_core.metrics import FloatArray, bootstrap_intervals

TOP = 10


@dataclass(frozen=True)
class Movement:
    """Of one variant of one query.

    Attributes:
        query: position of the neutral query.
        word: what made the variant.
        rank_change: mean over the neutral query's best targets of how many ranks each moved, up or down.
        overlap: share of them that are among the variant's best as well.
    """

    query: int
    attribute: str
    word: str
    rank_change: float
    overlap: float


@dataclass(frozen=True)
class Estimate:
    """A mean over queries with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class AttributeFigures:
    """What one attribute does in one target space.

    Attributes:
        queries: that have variants of it; the bootstrap draws them, since variants of one query are alike.
        variants: of them together.
        beyond_control: by figure, the attribute less `control: words` on the same queries; None for the control.
    """

    queries: int
    variants: int
    rank_change: Estimate
    overlap: Estimate
    beyond_control: tuple[Estimate, Estimate] | None


def measure(
    model: RankingModel, queries: Sequence[ProbeQuery], targets: Sequence[str], progress: Progress | None = None
) -> list[Movement]:
    """Every variant of every query against one target space."""
    movements = []
    for position, query in enumerate(queries):
        variants = [
            (attribute, word, text) for attribute, texts in query.variants.items() for word, text in texts.items()
        ]
        with torch.inference_mode():
            scores = model.scores([query.text, *(text for _, _, text in variants)], targets, "probe")
        for (attribute, word, _), (change, overlap) in zip(variants, compare_rankings(scores), strict=True):
            movements.append(Movement(position, attribute, word, change, overlap))
        if progress is not None:
            progress(position + 1, len(queries))
    return movements


def compare_rankings(scores: Float[Tensor, "rows targets"], top: int = TOP) -> list[tuple[float, float]]:
    """The mean rank change and the overlap of each row's ranking with that of the first row, for its best targets."""
    ranks = ranks_of(scores)
    top = min(top, scores.shape[1])
    best = ranks[0] <= top
    changes = (ranks[1:, best] - ranks[0, best]).abs().double().mean(dim=1)
    overlaps = (ranks[1:, best] <= top).double().mean(dim=1)
    return list(zip(changes.tolist(), overlaps.tolist(), strict=True))


def ranks_of(scores: Float[Tensor, "rows targets"]) -> Int[Tensor, "rows targets"]:
    """The rank of each target in each row, 1 is best; ties by ascending index."""
    order = scores.sort(dim=1, descending=True, stable=True).indices
    places = torch.arange(1, scores.shape[1] + 1, device=scores.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def summarise(movements: Sequence[Movement]) -> dict[str, AttributeFigures]:
    """By attribute, in the order of their first variant."""
    names = list(dict.fromkeys(movement.attribute for movement in movements))
    by_query = {name: _means_by_query([one for one in movements if one.attribute == name]) for name in names}
    counts = Counter(movement.attribute for movement in movements)
    return {name: _figures(name, by_query[name], by_query[CONTROL], counts[name]) for name in names}


def summarise_words(movements: Sequence[Movement]) -> dict[tuple[str, str], AttributeFigures]:
    """The same for each attribute's single words."""
    words = list(dict.fromkeys((movement.attribute, movement.word) for movement in movements))
    control = _means_by_query([one for one in movements if one.attribute == CONTROL])
    figures = {}
    for attribute, word in words:
        own = [one for one in movements if (one.attribute, one.word) == (attribute, word)]
        figures[attribute, word] = _figures(attribute, _means_by_query(own), control, len(own))
    return figures


def _figures(
    attribute: str, own: Mapping[int, FloatArray], control: Mapping[int, FloatArray], variants: int
) -> AttributeFigures:
    values = np.stack(list(own.values()))
    change, overlap = _estimates(values)
    beyond = None
    if not attribute.startswith("control"):
        beyond = _estimates(values - np.stack([control[query] for query in own]))
    return AttributeFigures(len(own), variants, change, overlap, beyond)


def _means_by_query(movements: Sequence[Movement]) -> dict[int, FloatArray]:
    """Rank change and overlap of each query, the mean over its variants."""
    rows: dict[int, list[tuple[float, float]]] = {}
    for movement in movements:
        rows.setdefault(movement.query, []).append((movement.rank_change, movement.overlap))
    return {query: np.mean(values, axis=0) for query, values in rows.items()}


def _estimates(values: FloatArray) -> tuple[Estimate, Estimate]:
    """Of both columns of `[queries, 2]`."""
    first, second = (
        Estimate(float(mean), *interval)
        for mean, interval in zip(values.mean(axis=0), bootstrap_intervals(values), strict=True)
    )
    return first, second

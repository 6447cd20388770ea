"""The formulas as plain loops in double precision: slow, obvious, and what every fast path is tested against."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from uwe_core.interaction import SMALLEST_NORM, InteractionConfig
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import TokenIndex
from uwe_core.types import Scores

Vector = Sequence[float]


class ReferenceScorer:
    """Scores by the definitions of the interactions, one pair of tokens at a time."""

    def __init__(self, index: TokenIndex, interaction: InteractionConfig) -> None:
        self._interaction = interaction
        tokens = _vectors(index.floats())
        bounds = index.offsets.tolist()
        self._targets: list[Sequence[Vector]] = [[]] * len(index)
        for stored, target in enumerate(index.order.tolist()):
            self._targets[target] = tokens[bounds[stored] : bounds[stored + 1]]

    def score(self, queries: TokenEmbeddings) -> Scores:
        """Float64 scores `[queries, targets]`, targets in the order of their space."""
        vectors = [_vectors(query) for query in queries]
        rows = [[pair_score(self._interaction, query, target) for target in self._targets] for query in vectors]
        return torch.tensor(rows, dtype=torch.float64)


def pair_score(interaction: InteractionConfig, query: Sequence[Vector], target: Sequence[Vector]) -> float:
    """The score of one query with one target, both as lists of token embeddings."""
    temperature = interaction.interaction_temperature
    match interaction.kind:
        case "soft_late_interaction":
            matches = [_soft(token, target, temperature) for token in query]
        case "two_way_late_interaction":
            found = [_soft(token, target, temperature) for token in query]
            asked = [_soft(token, query, temperature) for token in target]
            both = (sum(found) / len(query) + sum(asked) / len(target)) / 2
            matches = [both] * len(query)
        case "max_sim":
            matches = [max(_cosine(token, other) for other in target) for token in query]
        case "context_match":
            pooled = _mean(target)
            weights = _softmax([_dot(token, pooled) / temperature for token in query])
            return sum(weight * _cosine(token, pooled) for weight, token in zip(weights, query, strict=True))
        case "pooled_cosine":
            return _cosine(_mean(query), _mean(target))
    return sum(matches) / (len(query) if interaction.query_reduction == "mean" else 1)


def _soft(token: Vector, target: Sequence[Vector], temperature: float) -> float:
    weights = _softmax([_dot(token, other) / temperature for other in target])
    return sum(weight * _cosine(token, other) for weight, other in zip(weights, target, strict=True))


def _softmax(logits: Sequence[float]) -> list[float]:
    largest = max(logits)
    powers = [math.exp(logit - largest) for logit in logits]
    return [power / sum(powers) for power in powers]


def _dot(left: Vector, right: Vector) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def _cosine(left: Vector, right: Vector) -> float:
    norms = [max(math.sqrt(_dot(vector, vector)), SMALLEST_NORM) for vector in (left, right)]
    return _dot(left, right) / (norms[0] * norms[1])


def _mean(vectors: Sequence[Vector]) -> Vector:
    return [sum(components) / len(vectors) for components in zip(*vectors, strict=True)]


def _vectors(tokens: Tensor) -> list[Vector]:
    rows: list[Vector] = tokens.double().cpu().tolist()
    return rows

"""Objectives: what each graph of a batch adds to the loss, and the loss of a batch from the scores of its pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy import ndarray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from uwe_core.batches.batch import Batch, GraphBatch
from uwe_core.errors import ConfigurationError
from uwe_core.interaction import InteractionConfig
from uwe_core.loss import ContrastiveLoss, info_nce, many_to_many_info_nce, pairwise_info_nce
from uwe_core.types import Scores

LossKind = Literal["many_to_many", "info_nce", "pairwise"]
# The name of the one objective that all graphs of that kind make together.
POOLED = "info_nce"


class GraphLossConfig(BaseModel):
    """The loss of one graph.

    Attributes:
        alpha: its weight in the sum.
        loss_temperature: of the softmax over the batch.
        kind: `many_to_many` (paper, equations 2 and 3), or one of the ablations of table 4: `pairwise`, both
            directions, with the sampled pairs alone as positives; `info_nce`, from queries to targets alone, the
            targets of all graphs of this kind in one set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    loss_temperature: float = Field(default=0.05, gt=0, allow_inf_nan=False)
    kind: LossKind = "many_to_many"


def _default_graphs() -> dict[str, GraphLossConfig]:
    return {
        "job": GraphLossConfig(alpha=1.0),
        "sentence": GraphLossConfig(loss_temperature=0.02),
        "alternative": GraphLossConfig(loss_temperature=0.02),
        "title": GraphLossConfig(),
        "activity": GraphLossConfig(),
    }


class LossConfig(BaseModel):
    """The loss of a batch.

    Attributes:
        graphs: of each graph that may be in a batch, by name.
        interaction: the score. The mean over query tokens: their sum, at a loss temperature of 0.02, has logits of
            thousands.
        max_tokens_per_text: the cut, special tokens counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    graphs: dict[str, GraphLossConfig] = Field(default_factory=_default_graphs)
    interaction: InteractionConfig = InteractionConfig(query_reduction="mean")
    max_tokens_per_text: int = Field(default=64, ge=3)

    @model_validator(mode="after")
    def _one_softmax_has_one_temperature(self) -> LossConfig:
        if len({graph for graph in self.graphs.values() if graph.kind == POOLED}) > 1:
            raise ValueError("graphs of kind info_nce share one softmax, so one loss_temperature and one alpha")
        return self


@dataclass(frozen=True)
class Objective:
    """One term of the loss: a set of queries and a set of targets, and which belong together.

    Attributes:
        name: of the graph, or of the kind where several graphs make one term.
        config: its loss.
        query_texts: per query, the number of its text in the batch; distinct.
        target_texts: per target, likewise.
        positives: every known edge.
        pair_queries: of each sampled pair, the index of its query.
        pair_targets: likewise of its target.
    """

    name: str
    config: GraphLossConfig
    query_texts: Int64[ndarray, " queries"]
    target_texts: Int64[ndarray, " targets"]
    positives: Bool[Tensor, "queries targets"]
    pair_queries: Int64[Tensor, " pairs"]
    pair_targets: Int64[Tensor, " pairs"]


def objectives_of(batch: Batch, config: LossConfig) -> list[Objective]:
    """The terms of the batch's loss.

    Raises:
        ConfigurationError: the batch has a graph that `config` does not know.
    """
    for graph in batch.graphs:
        if graph.name not in config.graphs:
            raise ConfigurationError(f"the graph '{graph.name}' has no loss: {', '.join(config.graphs)} have one")
    pooled = [graph for graph in batch.graphs if config.graphs[graph.name].kind == POOLED]
    own = [graph for graph in batch.graphs if config.graphs[graph.name].kind != POOLED]
    objectives = [_objective(graph.name, config.graphs[graph.name], [graph]) for graph in own]
    return objectives + ([_objective(POOLED, config.graphs[pooled[0].name], pooled)] if pooled else [])


def objective_loss(
    objective: Objective, forward_scores: Scores, backward_scores: Float[Tensor, "targets queries"]
) -> ContrastiveLoss:
    """One term of the loss, not weighted.

    Args:
        objective: its positives and pairs are moved to the scores' device.
        forward_scores: `sim(query, target)` of the objective's nodes.
        backward_scores: `sim(target, query)`; not read where the objective is one-sided.
    """
    device = forward_scores.device
    positives, queries, targets = (
        tensor.to(device, non_blocking=True)
        for tensor in (objective.positives, objective.pair_queries, objective.pair_targets)
    )
    temperature = objective.config.loss_temperature
    nobody = torch.zeros((), dtype=torch.int64, device=device)
    match objective.config.kind:
        case "many_to_many":
            return many_to_many_info_nce(forward_scores, backward_scores, positives, temperature)
        case "pairwise":
            # Pairs, not nodes: a target that two queries have drawn is there twice.
            forward, backward = forward_scores[queries][:, targets], backward_scores[targets][:, queries]
            return ContrastiveLoss(pairwise_info_nce(forward, backward, temperature), nobody, nobody)
        case "info_nce":
            return ContrastiveLoss(info_nce(forward_scores[queries], targets, temperature), nobody, nobody)


@dataclass(frozen=True)
class BatchLoss:
    """The loss of a batch; tensors on the model's device, to be read when convenient.

    Attributes:
        total: the weighted sum of the terms.
        terms: before weighting.
        entropies: of each term's attention, where they were asked for (`attention_entropy.py`).
    """

    total: Float[Tensor, ""]
    terms: dict[str, ContrastiveLoss]
    entropies: dict[str, Float[Tensor, ""]] = field(default_factory=dict)


def sum_of_terms(objectives: Sequence[Objective], loss_of: Callable[[Objective], ContrastiveLoss]) -> BatchLoss:
    """The weighted sum of all terms (paper, equation 4); at least one."""
    terms = {objective.name: loss_of(objective) for objective in objectives}
    weighted = [objective.config.alpha * terms[objective.name].value for objective in objectives]
    return BatchLoss(reduce(torch.add, weighted), terms)


def _objective(name: str, config: GraphLossConfig, graphs: Sequence[GraphBatch]) -> Objective:
    """One term over the distinct texts of several graphs."""
    query_texts, queries = _distinct([graph.query_texts for graph in graphs])
    target_texts, targets = _distinct([graph.target_texts for graph in graphs])
    positives = torch.zeros(len(query_texts), len(target_texts), dtype=torch.bool)
    for graph, rows, columns in zip(graphs, queries, targets, strict=True):
        of_graph, of_row = np.nonzero(graph.positives)
        positives[torch.from_numpy(rows[of_graph]), torch.from_numpy(columns[of_row])] = True
    sampled = [columns[graph.sampled] for graph, columns in zip(graphs, targets, strict=True)]
    pair_queries, pair_targets = (torch.from_numpy(np.concatenate(parts)) for parts in (queries, sampled))
    return Objective(name, config, query_texts, target_texts, positives, pair_queries, pair_targets)


def _distinct(
    parts: Sequence[Int64[ndarray, " _"]],
) -> tuple[Int64[ndarray, " distinct"], list[Int64[ndarray, " _"]]]:
    """The distinct numbers of all parts, ascending, and where each part's numbers stand among them."""
    distinct = np.unique(np.concatenate(parts))
    return distinct, [np.searchsorted(distinct, part) for part in parts]

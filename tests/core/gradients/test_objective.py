"""The terms of a batch's loss: hand-checked numbers from graphs to loss, and the sets of the ablations."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from uwe_core.batches.adjacency import edges_between
from uwe_core.batches.batch import Batch, BatchText, GraphBatch
from uwe_core.errors import ConfigurationError
from uwe_core.gradients.gradient_cache import token_gradients
from uwe_core.gradients.objective import (
    GraphLossConfig,
    LossConfig,
    LossKind,
    Objective,
    objective_loss,
    objectives_of,
    sum_of_terms,
)
from uwe_core.gradients.packed_tokens import PackedTokens
from uwe_core.graph import BipartiteGraph
from uwe_core.interaction import InteractionConfig
from uwe_core.loss import ContrastiveLoss

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden/formulas.json").read_text())


def matrix(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def part(name: str, edges: list[list[int]], pairs: list[list[int]], first_target: int) -> GraphBatch:
    """A batch of all nodes of a graph with these edges; its queries are the batch's first texts."""
    queries, targets = (max(edge[side] for edge in edges) + 1 for side in (0, 1))
    sorted_edges = np.array(sorted(edges), dtype=np.int64)
    graph = BipartiteGraph(
        name, ["q"] * queries, ["t"] * targets, sorted_edges, [""] * targets, [""] * targets, of_skills=True
    )
    every = np.arange(targets)
    return GraphBatch(
        name=name,
        query_texts=np.array([query for query, _ in pairs]),
        target_texts=first_target + every,
        positives=edges_between(graph.targets_of, np.array([query for query, _ in pairs]), every, targets),
        sampled=np.array([target for _, target in pairs]),
        left_out=0,
    )


def batch_of(*parts: GraphBatch) -> Batch:
    last = max(int(max(one.query_texts.max(), one.target_texts.max())) for one in parts)
    return Batch([BatchText(str(number)) for number in range(last + 1)], parts)


def loss(kind: LossKind, temperature: float, alpha: float = 1.0) -> GraphLossConfig:
    return GraphLossConfig(kind=kind, loss_temperature=temperature, alpha=alpha)


def test_positives_are_the_edges_of_the_graph_and_not_only_the_sampled_pairs() -> None:
    golden = GOLDEN["mtm_edge_lookup"]
    sampled, scores = golden["sampled_pairs"], matrix(golden["sim"])
    batch = batch_of(part("job", [*sampled, golden["extra_graph_edge"]], sampled, 2))
    config = LossConfig(graphs={"job": loss("many_to_many", golden["tau"])})
    (objective,) = objectives_of(batch, config)
    value = objective_loss(objective, scores, scores.T).value.item()
    assert value == pytest.approx(golden["full_graph_lookup"]["L_YQ"], abs=1e-12)
    pairs = LossConfig(graphs={"job": loss("pairwise", golden["tau"])})
    value = objective_loss(objectives_of(batch, pairs)[0], scores, scores.T).value.item()
    assert value == pytest.approx(golden["sampled_pairs_only"]["L_YQ"], abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "reading"), [("many_to_many", "A_node_set_dedup"), ("pairwise", "C_pairwise_diagonal_only")]
)
def test_the_same_text_drawn_twice_is_one_node_and_two_pairs(kind: LossKind, reading: str) -> None:
    golden = GOLDEN["mtm_duplicates"]
    pairs = [[int(query[1]) - 1, int(target[1]) - 1] for query, target in golden["pairs"]]
    scores = matrix(golden["sim_nodes"])
    # the same queries twice, in two graphs of one pool, make the four pairs of the example
    objective = pooled(pairs, loss(kind, golden["tau"]))
    assert len(objective.pair_queries) == 4
    assert objective_loss(objective, scores, scores.T).value.item() == pytest.approx(golden[reading]["L_YQ"], abs=1e-12)


def pooled(pairs: list[list[int]], config: GraphLossConfig) -> Objective:
    once = [part("job", pairs, [pairs[0], pairs[2]], 2), part("sentence", pairs, [pairs[1], pairs[3]], 2)]
    one_sided = config.model_copy(update={"kind": "info_nce"})
    (objective,) = objectives_of(batch_of(*once), LossConfig(graphs={"job": one_sided, "sentence": one_sided}))
    return Objective(**{**vars(objective), "config": config})


def test_the_weighted_sum_over_graphs_equals_the_hand_checked_number() -> None:
    golden = GOLDEN["mtm_total_eq4"]
    names = {"J": "job", "V": "sentence", "A": "alternative"}
    defaults = LossConfig().graphs
    for short, graph in golden["graphs"].items():
        assert (defaults[names[short]].alpha, defaults[names[short]].loss_temperature) == (graph["alpha"], graph["tau"])
    parts = [
        part(names[short], graph["edges"], [graph["edges"][0], graph["edges"][-1]], 2 + 10 * number)
        for number, (short, graph) in enumerate(golden["graphs"].items())
    ]
    scores = {names[short]: matrix(graph["sim"]) for short, graph in golden["graphs"].items()}

    def loss_of(objective: Objective) -> ContrastiveLoss:
        return objective_loss(objective, scores[objective.name], scores[objective.name].T)

    total = sum_of_terms(objectives_of(batch_of(*parts), LossConfig()), loss_of)
    for short, name in names.items():
        assert total.terms[name].value.item() == pytest.approx(golden["parts"][short], abs=1e-9)
    assert total.total.item() == pytest.approx(golden["L_MTM"], abs=1e-9)


def test_the_roles_swap_in_the_second_direction_from_tokens_to_loss() -> None:
    golden = GOLDEN["mtm_with_soft_li_directions"]
    texts = [matrix(text) for text in (*golden["skills_tokens"], *golden["targets_tokens"])]
    packed = PackedTokens.from_chunks(texts, [[number] for number in range(4)], [len(text) for text in texts])
    config = LossConfig(
        graphs={"job": loss("many_to_many", golden["tau_loss"])},
        interaction=InteractionConfig(interaction_temperature=golden["tau_attention"], query_reduction="sum"),
    )
    objectives = objectives_of(batch_of(part("job", golden["edges"], golden["edges"], 2)), config)
    value, _ = token_gradients(packed, objectives, config.interaction, pairs_per_block=4)
    assert value.total.item() == pytest.approx(golden["reading_b_swap_roles"]["L_YQ"], abs=1e-12)


@given(st.integers(1, 4), st.integers(0, 999))
def test_one_sided_info_nce_is_over_the_targets_of_all_its_graphs(skills: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = []
    for name, first in (("job", 10), ("sentence", 12)):  # text 12 is a target of both
        edges = [[skill, int(random.integers(3))] for skill in range(skills)]
        parts.append(part(name, [*edges, [0, 2]], edges, first))
    one = loss("info_nce", 0.5)
    (objective,) = objectives_of(batch_of(*parts), LossConfig(graphs={"job": one, "sentence": one}))
    assert objective.target_texts.tolist() == [10, 11, 12, 13, 14]
    scores = torch.from_numpy(random.normal(size=(skills, 5)))
    value = objective_loss(objective, scores, scores.T).value.item()
    losses = []
    for graph in parts:
        for skill, target in zip(graph.query_texts, graph.target_texts[graph.sampled], strict=True):
            row = [score / 0.5 for score in scores[skill].tolist()]
            losses.append(math.log(sum(map(math.exp, row))) - row[target - 10])
    assert value == pytest.approx(sum(losses) / len(losses), abs=1e-9)


def test_a_graph_without_a_loss_and_two_temperatures_in_one_softmax_are_refused() -> None:
    batch = batch_of(part("other", [[0, 0]], [[0, 0]], 1))
    with pytest.raises(ConfigurationError, match="'other' has no loss"):
        objectives_of(batch, LossConfig())
    with pytest.raises(ValidationError, match="share one softmax"):
        LossConfig(graphs={"job": loss("info_nce", 0.05), "sentence": loss("info_nce", 0.02)})

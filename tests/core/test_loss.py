"""The losses: hand-checked numbers, gradients, and a loop in plain Python as the oracle."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from uwe_core.interaction import soft_late_interaction
from uwe_core.loss import info_nce, many_to_many_info_nce, pairwise_info_nce
from uwe_core.token_embeddings import TokenEmbeddings

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent.parent / "golden/formulas.json").read_text())
TEMPERATURE = 0.5


def matrix(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def edges_of(pairs: list[list[int]], shape: tuple[int, ...]) -> Tensor:
    positives = torch.zeros(*shape, dtype=torch.bool)
    for query, target in pairs:
        positives[query, target] = True
    return positives


@pytest.mark.parametrize("case", ["mtm_2x3_one_to_many", "mtm_2x3_many_to_many", "mtm_2x3_unequal_degrees"])
def test_the_loss_equals_the_hand_checked_numbers(case: str) -> None:
    golden = GOLDEN[case]
    scores = matrix(golden["sim"])
    loss = many_to_many_info_nce(scores, scores.T, edges_of(golden["edges"], scores.shape), golden["tau"])
    assert loss.value.item() == pytest.approx(golden["L_YQ"], abs=1e-12)
    assert (loss.queries_left_out.item(), loss.targets_left_out.item()) == (0, 0)


def test_edges_are_those_of_the_graph_and_not_only_the_sampled_ones() -> None:
    golden = GOLDEN["mtm_edge_lookup"]
    scores = matrix(golden["sim"])
    sampled = edges_of(golden["sampled_pairs"], scores.shape)
    known = edges_of([*golden["sampled_pairs"], golden["extra_graph_edge"]], scores.shape)
    for positives, name in ((sampled, "sampled_pairs_only"), (known, "full_graph_lookup")):
        loss = many_to_many_info_nce(scores, scores.T, positives, golden["tau"]).value.item()
        assert loss == pytest.approx(golden[name]["L_YQ"], abs=1e-12)


def test_nodes_are_a_set_and_the_ablations_are_over_pairs() -> None:
    golden = GOLDEN["mtm_duplicates"]
    nodes = matrix(golden["sim_nodes"])
    queries, targets = ([int(pair[side][1]) - 1 for pair in golden["pairs"]] for side in (0, 1))
    as_set = edges_of([list(pair) for pair in zip(queries, targets, strict=True)], nodes.shape)
    loss = many_to_many_info_nce(nodes, nodes.T, as_set, golden["tau"]).value.item()
    assert loss == pytest.approx(golden["A_node_set_dedup"]["L_YQ"], abs=1e-12)
    slots = nodes[queries][:, targets]
    pairwise = pairwise_info_nce(slots, slots.T, golden["tau"]).item()
    assert pairwise == pytest.approx(golden["C_pairwise_diagonal_only"]["L_YQ"], abs=1e-12)
    one_sided = info_nce(slots, torch.arange(len(slots)), golden["tau"]).item()
    assert one_sided == pytest.approx(golden["D_infonce_onesided"], abs=1e-12)


def test_one_sided_info_nce_equals_the_hand_checked_number() -> None:
    golden = GOLDEN["infonce_eq1"]
    loss = info_nce(matrix([golden["sim_row"]]), torch.tensor([golden["positive"]]), golden["tau"])
    assert loss.item() == pytest.approx(golden["loss"], abs=1e-12)


def oracle(forward: Tensor, backward: Tensor, positives: Tensor) -> float:
    """Equation 2 in both directions, one exponential after the other."""

    def direction(scores: list[list[float]], rows: list[list[bool]]) -> float:
        losses = []
        for row, belongs in zip(scores, rows, strict=True):
            total = sum(math.exp(score / TEMPERATURE) for score in row)
            own = [
                -math.log(math.exp(score / TEMPERATURE) / total) for score, yes in zip(row, belongs, strict=True) if yes
            ]
            losses += [sum(own) / len(own)] if own else []
        return sum(losses) / len(losses) if losses else 0.0

    return direction(forward.tolist(), positives.tolist()) + direction(backward.tolist(), positives.T.tolist())


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 999))
def test_any_batch_equals_the_loop_and_leaves_lonely_nodes_out(queries: int, targets: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    forward = torch.randn(queries, targets, generator=generator, dtype=torch.float64)
    backward = torch.randn(targets, queries, generator=generator, dtype=torch.float64)
    positives = torch.rand(queries, targets, generator=generator) < 0.4
    loss = many_to_many_info_nce(forward, backward, positives, TEMPERATURE)
    assert loss.value.item() == pytest.approx(oracle(forward, backward, positives), abs=1e-9)
    assert loss.queries_left_out.item() == (~positives.any(dim=1)).sum().item()
    assert loss.targets_left_out.item() == (~positives.any(dim=0)).sum().item()


def padded(texts: list[list[list[float]]]) -> tuple[Tensor, Tensor]:
    tokens = TokenEmbeddings.from_texts([matrix(text) for text in texts])
    return tokens.padded()


def test_the_roles_swap_in_the_second_direction() -> None:
    """With soft late interaction the backward score is a number of its own, not a transposition."""
    golden = GOLDEN["mtm_with_soft_li_directions"]
    (skills, skill_mask), (targets, target_mask) = padded(golden["skills_tokens"]), padded(golden["targets_tokens"])
    temperature = golden["tau_attention"]
    forward = soft_late_interaction(skills, targets, skill_mask, target_mask, temperature)
    backward = soft_late_interaction(targets, skills, target_mask, skill_mask, temperature)
    torch.testing.assert_close(forward, matrix(golden["sim_qy"]))
    torch.testing.assert_close(backward, matrix(golden["sim_yq"]))
    positives = edges_of(golden["edges"], forward.shape)
    for second, reading in ((backward, "reading_b_swap_roles"), (forward.T, "reading_a_transpose_same_matrix")):
        loss = many_to_many_info_nce(forward, second, positives, golden["tau_loss"]).value.item()
        assert loss == pytest.approx(golden[reading]["L_YQ"], abs=1e-12)


def test_the_weighted_sum_over_graphs_equals_the_hand_checked_number() -> None:
    golden = GOLDEN["mtm_total_eq4"]
    total = 0.0
    for name, graph in golden["graphs"].items():
        scores = matrix(graph["sim"])
        loss = many_to_many_info_nce(
            scores, scores.T, edges_of(graph["edges"], scores.shape), graph["tau"]
        ).value.item()
        assert loss == pytest.approx(golden["parts"][name], abs=1e-9)
        total += graph["alpha"] * loss
    assert total == pytest.approx(golden["L_MTM"], abs=1e-9)


def test_gradients_equal_finite_differences_and_are_finite_at_extremes() -> None:
    positives = torch.tensor([[True, False, True], [False, False, False]])

    def value(forward: Tensor, backward: Tensor) -> Tensor:
        return many_to_many_info_nce(forward, backward, positives, TEMPERATURE).value

    scores = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(value, (scores, scores.detach().T.clone().requires_grad_()))
    # 64 tokens summed at a loss temperature of 0.02: logits of 3,200
    extreme = torch.tensor([[64.0, -64.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    many_to_many_info_nce(extreme, extreme.T, positives, 0.02).value.backward()
    assert extreme.grad is not None
    assert torch.isfinite(extreme.grad).all()


def test_half_precision_scores_are_judged_in_float32() -> None:
    scores = torch.tensor([[1.0, 0.5], [0.25, 2.0]], dtype=torch.bfloat16)
    positives = torch.eye(2, dtype=torch.bool)
    loss = many_to_many_info_nce(scores, scores.T, positives, TEMPERATURE).value
    assert loss.dtype == torch.float32
    exact = many_to_many_info_nce(scores.double(), scores.double().T, positives, TEMPERATURE).value
    assert loss.item() == pytest.approx(exact.item(), abs=1e-6)

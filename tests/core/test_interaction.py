"""The interactions: hand-checked numbers, masks, symmetries, limits, gradients, and the loops of the reference."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from uwe_core.interaction import (
    InteractionConfig,
    InteractionKind,
    context_match,
    interact,
    max_sim,
    pooled_cosine,
    soft_late_interaction,
    soft_match,
)
from uwe_core.scoring.reference import pair_score
from uwe_core.token_embeddings import TokenEmbeddings

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent.parent / "golden/formulas.json").read_text())
SOFT_CASES = ["soft_li_unit_targets", "soft_li_unequal_norm_targets", "soft_li_tie"]
CONFIGS = [
    InteractionConfig(kind=kind, interaction_temperature=0.5, query_reduction=reduction)
    for kind in get_args(InteractionKind)
    for reduction in ("sum", "mean")
]


def one(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)[None]


def whole(tokens: Tensor) -> Tensor:
    return torch.ones(tokens.shape[:2], dtype=torch.bool)


def ragged(counts: list[int], dim: int = 4, seed: int = 0) -> TokenEmbeddings:
    generator = torch.Generator().manual_seed(seed)
    return TokenEmbeddings.from_texts(
        [3 * torch.randn(count, dim, generator=generator, dtype=torch.float64) for count in counts]
    )


def scores_of(config: InteractionConfig, queries: TokenEmbeddings, targets: TokenEmbeddings) -> Tensor:
    (query_tokens, query_mask), (target_tokens, target_mask) = queries.padded(), targets.padded()
    return interact(config, query_tokens, target_tokens, query_mask, target_mask)


@pytest.mark.parametrize("case", SOFT_CASES)
def test_soft_late_interaction_equals_the_hand_checked_numbers(case: str) -> None:
    golden = GOLDEN[case]
    query, target = one(golden["E_q"]), one(golden["E_y"])
    for temperature, expected in golden["by_tau"].items():
        arguments = (query, target, whole(query), whole(target), float(temperature))
        assert soft_late_interaction(*arguments).item() == pytest.approx(expected["sim"], abs=1e-12)
        mean = soft_late_interaction(*arguments, "mean").item()
        assert mean == pytest.approx(expected["sim_mean_over_query_tokens"], abs=1e-12)


@pytest.mark.parametrize("case", SOFT_CASES)
def test_other_interactions_equal_the_hand_checked_numbers(case: str) -> None:
    golden = GOLDEN[case]
    query, target = one(golden["E_q"]), one(golden["E_y"])
    masks = (whole(query), whole(target))
    assert max_sim(query, target, *masks).item() == pytest.approx(golden["maxsim_cosine_colbert"], abs=1e-12)
    assert pooled_cosine(query, target, *masks).item() == pytest.approx(golden["mean_pool_cosine"], abs=1e-12)


@pytest.mark.parametrize("case", ["soft_li_unit_targets", "soft_li_unequal_norm_targets"])
def test_limits_of_the_temperature(case: str) -> None:
    golden = GOLDEN[case]
    query, target = one(golden["E_q"]), one(golden["E_y"])
    for temperature, name in ((1e-6, "limit_tau_to_0"), (1e9, "limit_tau_to_inf")):
        score = soft_late_interaction(query, target, whole(query), whole(target), temperature).item()
        assert score == pytest.approx(golden[name], abs=1e-6)


def test_context_match_equals_the_hand_checked_numbers() -> None:
    golden = GOLDEN["softmax_y_mean"]
    query, target = one(golden["E_q"]), one(golden["E_y"])
    for temperature, expected in golden["by_tau"].items():
        score = context_match(query, target, whole(query), whole(target), float(temperature)).item()
        assert score == pytest.approx(expected["sim"], abs=1e-12)


def test_it_is_not_symmetric() -> None:
    golden = GOLDEN["soft_li_asymmetry"]
    query, target = one(golden["E_q"]), one(golden["E_y"])
    for temperature, suffix in ((golden["tau"], ""), (0.1, "_tau0.1")):
        forward = soft_late_interaction(query, target, whole(query), whole(target), temperature).item()
        backward = soft_late_interaction(target, query, whole(target), whole(query), temperature).item()
        assert forward == pytest.approx(golden[f"sim_q_y{suffix}"], abs=1e-12)
        assert backward == pytest.approx(golden[f"sim_y_q{suffix}"], abs=1e-12)


def test_padding_is_masked_as_in_the_hand_checked_numbers() -> None:
    golden = GOLDEN["soft_li_padding"]
    query, target = (torch.nn.functional.pad(one(golden[name]), (0, 0, 0, 1)) for name in ("E_q", "E_y"))
    of_query, of_target = (whole(tokens).clone() for tokens in (query, target))
    for mask in (of_query, of_target):
        mask[:, -1] = False
    score = soft_late_interaction(query, target, of_query, of_target, golden["tau"]).item()
    assert score == pytest.approx(golden["expected_masked"], abs=1e-12)
    assert score != pytest.approx(golden["wrong_if_target_pad_not_masked"], abs=1e-3)


def test_gradients_equal_the_hand_checked_numbers_and_finite_differences() -> None:
    golden = GOLDEN["soft_li_gradient"]
    query, target = (one(golden[name]).requires_grad_() for name in ("E_q", "E_y"))

    def score(query: Tensor, target: Tensor) -> Tensor:
        return soft_late_interaction(query, target, whole(query), whole(target), golden["tau"])

    score(query, target).sum().backward()
    for tokens, name in ((query, "dsim_dEq"), (target, "dsim_dEy")):
        assert tokens.grad is not None
        torch.testing.assert_close(tokens.grad[0], one(golden[name])[0], rtol=0, atol=golden["atol"])
    assert torch.autograd.gradcheck(score, (query, target))


@given(
    st.sampled_from(CONFIGS),
    st.floats(0.05, 20),
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.integers(0, 99),
)
def test_every_interaction_equals_the_reference(
    config: InteractionConfig, temperature: float, query_counts: list[int], target_counts: list[int], seed: int
) -> None:
    config = config.model_copy(update={"interaction_temperature": temperature})
    queries, targets = ragged(query_counts, seed=seed), ragged(target_counts, seed=seed + 100)
    scores = scores_of(config, queries, targets)
    expected = [[pair_score(config, query.tolist(), target.tolist()) for target in targets] for query in queries]
    torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_a_low_temperature_takes_the_largest_dot_product_and_a_high_one_the_mean(
    query_count: int, target_count: int, seed: int
) -> None:
    queries, targets = ragged([query_count], seed=seed), ragged([target_count], seed=seed + 100)
    dots = queries.embeddings @ targets.embeddings.T
    cosines = torch.nn.functional.cosine_similarity(queries.embeddings[:, None], targets.embeddings[None], dim=-1)
    largest = cosines.gather(1, dots.argmax(dim=1, keepdim=True)).sum().item()
    for temperature, expected in ((1e-9, largest), (1e9, cosines.mean(dim=1).sum().item())):
        score = scores_of(InteractionConfig(interaction_temperature=temperature), queries, targets).item()
        assert score == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("config", CONFIGS)
def test_slices_and_permutations_move_rows_and_columns(config: InteractionConfig) -> None:
    queries, targets = ragged([3, 1, 4]), ragged([2, 5, 1], seed=1)
    scores = scores_of(config, queries, targets)
    torch.testing.assert_close(scores_of(config, queries.slice(1, 3), targets), scores[1:])
    turned = TokenEmbeddings.from_texts(list(targets)[::-1])
    torch.testing.assert_close(scores_of(config, queries, turned), scores.flip(1))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("rubbish", [0.0, 1e6, math.nan, math.inf])
def test_whatever_stands_in_the_padding_changes_nothing(config: InteractionConfig, rubbish: float) -> None:
    (query, query_mask), (target, target_mask) = ragged([3, 2]).padded(), ragged([2, 4], seed=1).padded()
    expected = interact(config, query, target, query_mask, target_mask)
    filler = torch.full((2, 2, 4), rubbish, dtype=torch.float64)
    more_query, more_target = torch.cat([query, filler], dim=1), torch.cat([target, filler], dim=1)
    false = torch.zeros(2, 2, dtype=torch.bool)
    masks = torch.cat([query_mask, false], dim=1), torch.cat([target_mask, false], dim=1)
    scores = interact(config, more_query, more_target, *masks)
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize("config", CONFIGS)
def test_gradients_equal_finite_differences_and_none_reaches_the_padding(config: InteractionConfig) -> None:
    (query, query_mask), (target, target_mask) = ragged([3, 2]).padded(), ragged([2, 4], seed=1).padded()
    assert torch.autograd.gradcheck(
        lambda query, target: interact(config, query, target, query_mask, target_mask),
        (query.requires_grad_(), target.requires_grad_()),
    )
    for tokens, mask in ((query, query_mask), (target, target_mask)):
        tokens.data[~mask] = math.nan
    interact(config, query, target, query_mask, target_mask).sum().backward()
    for tokens, mask in ((query, query_mask), (target, target_mask)):
        assert tokens.grad is not None
        assert torch.isfinite(tokens.grad).all()
        assert not tokens.grad[~mask].any()


@given(st.integers(1, 6), st.integers(1, 6), st.floats(0.01, 100))
def test_the_sum_is_bounded_by_the_number_of_query_tokens(
    query_count: int, target_count: int, temperature: float
) -> None:
    config = InteractionConfig(interaction_temperature=temperature)
    score = scores_of(config, ragged([query_count]), ragged([target_count], seed=1)).item()
    assert abs(score) <= query_count + 1e-9
    assert config.bounded_by_query_length


def test_the_softmax_runs_in_float32_whatever_comes_in() -> None:
    dots = torch.tensor([[[200.0, 199.0]]], dtype=torch.bfloat16)
    matched = soft_match(dots, torch.tensor([[[1.0, 0.0]]]), 20.0)
    assert matched.dtype == torch.float32
    assert matched.item() == pytest.approx(1 / (1 + math.exp(float(dots[0, 0, 1] - dots[0, 0, 0]) / 20)), abs=1e-6)


def test_a_zero_token_has_cosine_zero_and_no_nan() -> None:
    zero = torch.zeros(1, 1, 4)
    assert soft_late_interaction(zero, zero, whole(zero), whole(zero), 1.0).item() == 0


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_a_temperature_that_cannot_be_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="interaction_temperature"):
        InteractionConfig(interaction_temperature=temperature)

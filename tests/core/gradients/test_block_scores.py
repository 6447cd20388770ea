"""Scores in blocks and their gradients are those of the interaction, called both ways and left to autograd."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from uwe_core.gradients.block_scores import backward_in_blocks, scores_in_blocks
from uwe_core.gradients.kept_blocks import KeptBlocks
from uwe_core.gradients.packed_tokens import PackedTokens
from uwe_core.interaction import InteractionConfig, InteractionKind, interact

CONFIGS = [
    InteractionConfig(kind=kind, interaction_temperature=0.7, query_reduction=reduction)
    for kind in get_args(InteractionKind)
    for reduction in ("sum", "mean")
]
SOFT = InteractionConfig(interaction_temperature=0.7, query_reduction="mean")
COUNTS = st.lists(st.integers(1, 5), min_size=1, max_size=6)


def packed(counts: list[int], seed: int = 0, dim: int = 4, norm: float = 1.0) -> PackedTokens:
    generator = torch.Generator().manual_seed(seed)
    tokens = norm * torch.randn(sum(counts), dim, generator=generator, dtype=torch.float64)
    return PackedTokens.from_chunks([tokens], [range(len(counts))], counts)


def in_float32(tokens: PackedTokens) -> PackedTokens:
    return PackedTokens(tokens.embeddings.float(), tokens.starts, tokens.counts)


def in_blocks(
    config: InteractionConfig,
    tokens: PackedTokens,
    queries: int,
    of_scores: list[Tensor | None],
    tokens_per_group: int = 7,
    room: int = 0,
) -> list[Tensor]:
    """Both scores and the gradient of the tokens; the first texts are queries, all are targets."""
    kept = KeptBlocks(room)
    first, all_texts = (tokens.groups(np.arange(count), tokens_per_group) for count in (queries, len(tokens.counts)))
    scores = scores_in_blocks(config, first, all_texts, kept)
    gradient = torch.zeros_like(tokens.embeddings)
    backward_in_blocks(config, first, all_texts, of_scores, gradient, kept)
    return [*scores, gradient]


def by_autograd(
    config: InteractionConfig, tokens: PackedTokens, queries: int, of_scores: list[Tensor | None]
) -> list[Tensor]:
    """The same from one padded group of everything and a graph of computation."""
    leaf = tokens.embeddings.clone().requires_grad_()
    whole = PackedTokens(leaf, tokens.starts, tokens.counts)
    query, target = (whole.group(np.arange(count), np.arange(count)) for count in (queries, len(tokens.counts)))
    scores = (
        interact(config, query.tokens, target.tokens, query.mask, target.mask),
        interact(config, target.tokens, query.tokens, target.mask, query.mask),
    )
    known = [(score, grad) for score, grad in zip(scores, of_scores, strict=True) if grad is not None]
    (gradient,) = torch.autograd.grad([score for score, _ in known], [leaf], [grad for _, grad in known])
    return [score.detach() for score in scores] + [gradient]


def drawn_gradients(queries: int, targets: int, seed: int = 0) -> list[Tensor | None]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((queries, targets), (targets, queries))
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.kind}-{config.query_reduction}")
@settings(max_examples=40)
@given(COUNTS, st.integers(1, 6), st.integers(1, 30), st.sampled_from([0, 60, 10**6]), st.integers(0, 99))
def test_blocks_of_any_size_kept_or_not_give_the_scores_and_gradients_of_the_interaction(
    config: InteractionConfig, counts: list[int], queries: int, tokens_per_group: int, room: int, seed: int
) -> None:
    queries = min(queries, len(counts))
    tokens, of_scores = packed(counts, seed), drawn_gradients(queries, len(counts), seed)
    found = in_blocks(config, tokens, queries, of_scores, tokens_per_group, room)
    for one, other in zip(found, by_autograd(config, tokens, queries, of_scores), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.kind}-{config.query_reduction}")
def test_float32_agrees_with_float64_to_five_digits(config: InteractionConfig) -> None:
    counts = [3, 9, 4, 30, 12, 7, 7, 21, 5, 6]
    tokens, of_scores = packed(counts, dim=64, norm=0.5), drawn_gradients(4, len(counts))
    exact = by_autograd(config, tokens, 4, of_scores)
    found = in_blocks(config, in_float32(tokens), 4, [grad.float() for grad in of_scores if grad is not None], 40, 2000)
    for one, other in zip(found, exact, strict=True):
        assert one.dtype == torch.float32
        assert float((one - other).norm()) <= 1e-5 * float(other.norm())


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.kind}-{config.query_reduction}")
@pytest.mark.parametrize("direction", [0, 1])
def test_a_direction_that_no_loss_reads_adds_nothing(config: InteractionConfig, direction: int) -> None:
    counts = [3, 1, 4, 2, 5]
    tokens, of_scores = packed(counts), drawn_gradients(3, len(counts))
    of_scores[direction] = None
    for one, other in zip(
        in_blocks(config, tokens, 3, of_scores), by_autograd(config, tokens, 3, of_scores), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("temperature", [1e-3, 0.1, 1e4])
def test_softmaxes_that_underflow_and_softmaxes_that_are_flat(temperature: float) -> None:
    counts = [3, 1, 4, 2, 5, 5, 2]
    config = SOFT.model_copy(update={"interaction_temperature": temperature})
    tokens, of_scores = packed(counts, norm=3.0), drawn_gradients(3, len(counts))
    exact = by_autograd(config, tokens, 3, of_scores)
    for one, other in zip(in_blocks(config, tokens, 3, of_scores, room=100), exact, strict=True):
        torch.testing.assert_close(one, other)


def test_weights_and_gradients_too_small_to_matter_never_underflow_on_the_way() -> None:
    counts = [3, 1, 4, 2, 5, 5, 2]
    tokens = in_float32(packed(counts, dim=8, norm=30.0))
    of_scores: list[Tensor | None] = [torch.full((3, 7), 1e-37), torch.full((7, 3), 1e-15)]
    *_, gradient = in_blocks(SOFT.model_copy(update={"interaction_temperature": 0.1}), tokens, 3, of_scores)
    smallest = torch.finfo(torch.float32).tiny
    assert gradient.any()
    assert not ((gradient != 0) & (gradient.abs() < smallest)).any()


@pytest.mark.parametrize("kind", ["soft_late_interaction", "max_sim"])
def test_a_zero_token_has_cosine_zero_and_no_nan(kind: InteractionKind) -> None:
    tokens = packed([2, 3, 1])
    tokens.embeddings[[0, 5]] = 0.0
    config = SOFT.model_copy(update={"kind": kind})
    forward, backward, gradient = in_blocks(config, tokens, 2, drawn_gradients(2, 3))
    assert not forward[:, 2].any()
    assert not backward[2].any()
    assert torch.isfinite(gradient).all()


def test_equal_maxima_share_their_gradient_as_in_autograd() -> None:
    tokens = packed([2, 3, 3, 2])
    tokens.embeddings[3] = tokens.embeddings[2] = tokens.embeddings[6] = tokens.embeddings[1]
    config, of_scores = InteractionConfig(kind="max_sim"), drawn_gradients(2, 4)
    exact = by_autograd(config, tokens, 2, of_scores)
    for one, other in zip(in_blocks(config, tokens, 2, of_scores), exact, strict=True):
        torch.testing.assert_close(one, other)


def test_no_more_is_kept_than_there_is_room_for() -> None:
    tokens = packed([3] * 8)
    groups = tokens.groups(np.arange(8), 6)
    kept = KeptBlocks(room=100)
    scores_in_blocks(SOFT, groups, groups, kept)
    assert kept.room == 100 - 2 * 36
    assert [kept.take(0, column) is not None for column in range(4)] == [True, True, False, False]
    assert kept.take(0, 0) is None, "what is taken is gone"

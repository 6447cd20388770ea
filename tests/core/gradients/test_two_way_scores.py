"""Scores of both directions at once are those of the interaction called twice, gradients included."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from uwe_core.gradients.two_way_scores import interact_both_ways
from uwe_core.interaction import InteractionConfig, InteractionKind, interact

CONFIGS = [
    InteractionConfig(kind=kind, interaction_temperature=0.7, query_reduction=reduction)
    for kind in get_args(InteractionKind)
    for reduction in ("sum", "mean")
]
COUNTS = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def padded(counts: list[int], seed: int) -> tuple[Tensor, Tensor]:
    """Padding holds NaN: nothing may read it."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(len(counts), max(counts), 3, generator=generator, dtype=torch.float64)
    mask = torch.arange(max(counts))[None, :] < torch.tensor(counts)[:, None]
    return tokens.masked_fill(~mask[..., None], torch.nan).requires_grad_(), mask


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.kind}-{config.query_reduction}")
@given(COUNTS, COUNTS, st.integers(0, 99))
def test_both_ways_are_the_interaction_called_twice(
    config: InteractionConfig, query_counts: list[int], target_counts: list[int], seed: int
) -> None:
    queries, query_mask = padded(query_counts, seed)
    targets, target_mask = padded(target_counts, seed + 1)
    both = interact_both_ways(config, queries, targets, query_mask, target_mask)
    twice = (
        interact(config, queries, targets, query_mask, target_mask),
        interact(config, targets, queries, target_mask, query_mask),
    )
    weights = [torch.randn_like(scores) for scores in twice]
    gradients = [torch.autograd.grad(list(scores), (queries, targets), weights) for scores in (both, twice)]
    for found, wanted in zip((*both, *gradients[0]), (*twice, *gradients[1]), strict=True):
        torch.testing.assert_close(found, wanted)

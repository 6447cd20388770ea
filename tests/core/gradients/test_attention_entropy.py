"""The entropy of the attention equals what a slow loop finds, and its ends are a maximum and a mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from uwe_core.gradients.attention_entropy import SAMPLED_TEXTS, attention_entropy, graph_entropies
from uwe_core.gradients.objective import GraphLossConfig, Objective
from uwe_core.gradients.packed_tokens import PackedTokens
from uwe_core.interaction import InteractionConfig

lengths = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def padded(counts: list[int], seed: int) -> tuple[Tensor, Tensor]:
    """Tokens and mask; padding holds what must not be read."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(len(counts), max(counts), 3, generator=generator)
    mask = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
    return tokens.masked_fill(~mask[..., None], torch.nan), mask


def real(tokens: Tensor, counts: list[int]) -> list[Tensor]:
    return [text[:count] for text, count in zip(tokens, counts, strict=True)]


def by_loops(queries: list[Tensor], targets: list[Tensor], temperature: float) -> float:
    shares = []
    for target in targets:
        if len(target) < 2:
            continue
        for query in queries:
            for token in query:
                weights = [math.exp(float(token @ other) / temperature) for other in target]
                chances = [weight / sum(weights) for weight in weights]
                shares.append(-sum(p * math.log(p) for p in chances if p > 0) / math.log(len(target)))
    return sum(shares) / len(shares) if shares else 0.0


@given(lengths, lengths, st.floats(0.2, 20), st.integers(0, 100))
def test_it_is_what_loops_find(queries: list[int], targets: list[int], temperature: float, seed: int) -> None:
    (query, query_mask), (target, target_mask) = padded(queries, seed), padded(targets, seed + 1)
    found = attention_entropy(query, target, query_mask, target_mask, temperature)
    wanted = by_loops(real(query, queries), real(target, targets), temperature)
    assert found.item() == pytest.approx(wanted, abs=1e-5)


def test_a_temperature_far_too_low_gives_zero_and_one_far_too_high_one() -> None:
    (query, query_mask), (target, target_mask) = padded([3, 5], 0), padded([2, 4, 1], 1)
    low, high = (attention_entropy(query, target, query_mask, target_mask, value).item() for value in (1e-4, 1e4))
    assert low == pytest.approx(0, abs=1e-3)
    assert high == pytest.approx(1, abs=1e-3)


def test_each_graph_has_its_own_from_its_first_texts_alone() -> None:
    texts = 2 * SAMPLED_TEXTS + 10
    tokens = torch.randn(3 * texts, 4, generator=torch.Generator().manual_seed(0))
    packed = PackedTokens.from_chunks([tokens], [range(texts)], [3] * texts)
    sides = np.arange(SAMPLED_TEXTS + 5), np.arange(SAMPLED_TEXTS + 5, texts)
    positives, none = torch.zeros(len(sides[0]), len(sides[1]), dtype=torch.bool), torch.zeros(0, dtype=torch.int64)
    objective = Objective("job", GraphLossConfig(), *sides, positives, none, none)
    interaction = InteractionConfig(interaction_temperature=2.0)
    found = graph_entropies(packed, [objective], interaction)
    queries, targets = ([tokens[3 * text : 3 * text + 3] for text in side[:SAMPLED_TEXTS]] for side in sides)
    assert found.keys() == {"job"}
    assert found["job"].item() == pytest.approx(by_loops(queries, targets, 2.0), abs=1e-5)
    assert graph_entropies(packed, [objective], InteractionConfig(kind="max_sim")) == {}

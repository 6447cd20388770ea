"""One suite for all scorers of an index: equal to the reference for every interaction, storage and shape."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import random_index
from uwe_core.interaction import InteractionConfig, InteractionKind
from uwe_core.scoring import Scorer, grouped, make_scorer
from uwe_core.scoring.grouped import GroupedScorer
from uwe_core.scoring.reference import ReferenceScorer
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import StorageType, TokenIndex

KINDS = get_args(InteractionKind)
TOKEN_LEVEL = ("soft_late_interaction", "two_way_late_interaction", "max_sim")
COUNTS = st.lists(st.integers(1, 6), min_size=1, max_size=12)


def queries_of(counts: list[int], dim: int = 8, norm: float = 1.0, seed: int = 9) -> TokenEmbeddings:
    generator = torch.Generator().manual_seed(seed)
    return TokenEmbeddings.from_texts([norm * torch.randn(count, dim, generator=generator) for count in counts])


def all_scorers(index: TokenIndex, interaction: InteractionConfig) -> list[Scorer]:
    scorer: Scorer = make_scorer(index, interaction)
    return [scorer, GroupedScorer(index, interaction)] if interaction.kind in TOKEN_LEVEL else [scorer]


@given(
    st.sampled_from(KINDS),
    st.sampled_from(["sum", "mean"]),
    st.sampled_from(get_args(StorageType)),
    COUNTS,
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.sampled_from([1.0, 10.0]),
    st.sampled_from([0.1, 1.0, 40.0]),
)
def test_every_scorer_equals_the_reference(
    kind: InteractionKind,
    reduction: str,
    dtype: StorageType,
    target_counts: list[int],
    query_counts: list[int],
    norm: float,
    temperature: float,
) -> None:
    interaction = InteractionConfig.model_validate(
        {"kind": kind, "query_reduction": reduction, "interaction_temperature": temperature}
    )
    index, queries = random_index(target_counts, dtype=dtype, norm=norm), queries_of(query_counts, norm=norm)
    expected = ReferenceScorer(index, interaction).score(queries)
    for scorer in all_scorers(index, interaction):
        scores = scorer.score(queries)
        assert scores.dtype == torch.float32
        assert scores.shape == (len(query_counts), len(target_counts))
        # A logit is a dot product of norms up to 25 and norm over a temperature. Queries in 15 bits are off by 3e-5.
        error = 6e-5 if dtype == "int8" else 2e-6
        allowed = max(query_counts) * error * (1 + 2 * 25 * norm * norm / temperature)
        torch.testing.assert_close(scores.double(), expected, rtol=0, atol=min(allowed, 0.5))


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_scores_as_its_queries_do_alone(kind: InteractionKind) -> None:
    scorer: Scorer = make_scorer(random_index([3, 1, 4, 1, 5]), InteractionConfig(kind=kind))
    queries = queries_of([2, 5, 1])
    alone = torch.cat([scorer.score(queries.slice(place, place + 1)) for place in range(3)])
    torch.testing.assert_close(scorer.score(queries), alone)


@given(st.sampled_from(KINDS), COUNTS, st.randoms(use_true_random=False))
def test_permuted_targets_permute_the_columns(kind: InteractionKind, counts: list[int], random: Random) -> None:
    index, queries, interaction = random_index(counts), queries_of([2, 3]), InteractionConfig(kind=kind)
    moved_to = torch.tensor(random.sample(range(len(counts)), len(counts)))
    permuted = replace(index, order=moved_to[index.order])
    scores = make_scorer(permuted, interaction).score(queries)
    assert torch.equal(scores[:, moved_to], make_scorer(index, interaction).score(queries))


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_of_zeros_score_zero_and_not_nan(kind: InteractionKind) -> None:
    scores = make_scorer(random_index([2, 3], norm=0), InteractionConfig(kind=kind)).score(queries_of([2, 1]))
    assert torch.equal(scores, torch.zeros(2, 2))


@pytest.mark.parametrize("kind", TOKEN_LEVEL)
def test_pieces_change_nothing(kind: InteractionKind, monkeypatch: pytest.MonkeyPatch) -> None:
    index, queries = random_index([2] * 7 + [5] * 3), queries_of([3, 2])
    whole = GroupedScorer(index, InteractionConfig(kind=kind)).score(queries)
    monkeypatch.setitem(grouped._PIECE_ELEMENTS, "cpu", 1)
    torch.testing.assert_close(GroupedScorer(index, InteractionConfig(kind=kind)).score(queries), whole)


@given(COUNTS)
def test_groups_hold_every_target_once(counts: list[int]) -> None:
    index = random_index(counts)
    seen: list[int] = []
    for group in index.groups():
        targets = index.order[group.start : group.end].tolist()
        assert {counts[target] for target in targets} == {group.embeddings.shape[1]}
        assert group.embeddings.data_ptr() >= index.embeddings.data_ptr()  # a view, not a copy
        seen += targets
    assert sorted(seen) == list(range(len(counts)))


def test_scores_stand_in_the_order_of_the_space_not_of_storage() -> None:
    index = random_index([4, 1, 3, 1])
    assert index.order.tolist() != [0, 1, 2, 3]
    bounds = index.offsets.tolist()
    queries = TokenEmbeddings.from_texts([index.embeddings[bounds[stored] : bounds[stored + 1]] for stored in range(4)])
    best = make_scorer(index, InteractionConfig(kind="pooled_cosine")).score(queries).argmax(dim=1)
    assert best.tolist() == index.order.tolist()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("kind", KINDS)
def test_the_gpu_scores_as_the_cpu_does(kind: InteractionKind) -> None:
    index, queries = random_index([3, 1, 4, 1, 5]), queries_of([2, 5, 1])
    on_gpu: TokenIndex = index.to(torch.device("cuda"))
    moved = TokenEmbeddings(queries.embeddings.cuda(), queries.offsets)
    scores = make_scorer(on_gpu, InteractionConfig(kind=kind)).score(moved)
    torch.testing.assert_close(scores.cpu(), make_scorer(index, InteractionConfig(kind=kind)).score(queries))

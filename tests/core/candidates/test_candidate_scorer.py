"""Candidates: exact scores of what was proposed, enough of it whatever is asked, and nearly always the best."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.core.candidates.clustered import clustered_index, clustered_queries
from tests.fakes import random_index
from uwe_core.interaction import InteractionConfig, InteractionKind
from uwe_core.scoring import make_scorer
from uwe_core.scoring.candidates import CandidateIndex, CandidateKind, CandidateScorer
from uwe_core.scoring.candidates.gathered import gathered
from uwe_core.token_index import StorageType
from uwe_core.top_k import top_k

pytest.importorskip("faiss", reason="the extra [ann] is not installed")

INTERACTION = InteractionConfig(interaction_temperature=5.0)
FOUND_BY = get_args(CandidateKind)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.sampled_from(get_args(StorageType)), st.data())
def test_gathered_targets_are_those_of_the_whole_index(
    counts: list[int], dtype: StorageType, data: st.DataObject
) -> None:
    index = random_index(counts, dtype=dtype)
    chosen = data.draw(st.permutations(range(len(counts))))[: data.draw(st.integers(1, len(counts)))]
    part = gathered(index, torch.tensor(chosen))
    assert part.offsets.diff().tolist() == sorted(counts[target] for target in index.order[chosen].tolist())
    tokens, norms = part.floats(), part.inverse_norms
    for place, number in enumerate(part.order.tolist()):
        here, there = slice(*part.offsets[place : place + 2]), slice(*index.offsets[chosen[number] :][:2])
        assert torch.equal(tokens[here], index.floats()[there])
        assert torch.equal(norms[here], index.inverse_norms[there])


@pytest.mark.parametrize("found_by", FOUND_BY)
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(kind, "float32") for kind in get_args(InteractionKind)] + [("max_sim", "int8"), ("max_sim", "bfloat16")],
)
def test_candidates_have_the_scores_of_the_exact_scorer(
    kind: InteractionKind, dtype: StorageType, found_by: CandidateKind
) -> None:
    index, interaction = clustered_index(200, dtype), InteractionConfig(kind=kind, interaction_temperature=5.0)
    queries = clustered_queries([4, 1, 7])
    every = make_scorer(index, interaction).score(queries)
    some = CandidateScorer(index, interaction, CandidateIndex.build(index, found_by), 20).score(queries)
    assert len(some) == 3
    for exact, candidates in zip(every, some, strict=True):
        assert len(candidates.targets) == 20
        assert candidates.targets.tolist() == sorted(set(candidates.targets.tolist()))
        torch.testing.assert_close(candidates.values, exact[candidates.targets])


@pytest.mark.parametrize("found_by", FOUND_BY)
@pytest.mark.parametrize("count", [60, 1000])
def test_as_many_candidates_as_targets_rank_as_the_exact_scorer(found_by: CandidateKind, count: int) -> None:
    index, queries = clustered_index(60), clustered_queries([4, 2])
    exact = make_scorer(index, INTERACTION).score(queries)
    some = CandidateScorer(index, INTERACTION, CandidateIndex.build(index, found_by), count).score(queries)
    for row, candidates in zip(exact, some, strict=True):
        for k in (1, 7, 60, 99):
            for expected, found in zip(top_k(row, k), candidates.best(k), strict=True):
                assert torch.equal(expected, found)


@pytest.mark.parametrize("found_by", FOUND_BY)
def test_more_are_proposed_where_too_few_remain_until_there_are_no_more(found_by: CandidateKind) -> None:
    index, queries = clustered_index(150), clustered_queries([3])
    (exact,) = make_scorer(index, INTERACTION).score(queries)
    (scores,) = CandidateScorer(index, INTERACTION, CandidateIndex.build(index, found_by), 5).score(queries)
    assert len(scores.best(5)[0]) == 5
    assert len(scores.best(40)[0]) == 40
    assert torch.equal(scores.best(1000)[0], top_k(exact, 1000)[0])
    excluded = [*scores.targets.tolist(), *range(0, 150, 3)]
    targets, values = scores.best(5, excluded)
    assert len(targets) == 5
    assert not set(targets.tolist()) & set(excluded)
    torch.testing.assert_close(values, exact[targets])
    assert scores.best(5, range(150))[0].tolist() == []
    assert scores.best(5, range(148))[0].sort().values.tolist() == [148, 149]


def test_equal_scores_rank_by_ascending_target() -> None:
    index = random_index([2] * 30, norm=0)
    (scores,) = CandidateScorer(index, INTERACTION, CandidateIndex.build(index), 30).score(
        clustered_queries([2], dim=8)
    )
    assert scores.best(4)[0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("found_by", FOUND_BY)
def test_the_ten_best_of_clustered_targets_are_nearly_always_proposed(found_by: CandidateKind) -> None:
    index, queries = clustered_index(4000), clustered_queries([3, 5, 8] * 20)
    exact = make_scorer(index, INTERACTION).score(queries)
    some = CandidateScorer(index, INTERACTION, CandidateIndex.build(index, found_by), 100).score(queries)
    hits = [
        len(set(top_k(row, 10)[0].tolist()) & set(scores.best(10)[0].tolist()))
        for row, scores in zip(exact, some, strict=True)
    ]
    assert sum(hits) / (10 * len(hits)) > 0.97

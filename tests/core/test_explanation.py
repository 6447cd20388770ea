"""Explanations: the parts of every interaction sum to the score, whatever is folded; spans cut out the tokens' text."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.fakes import FAMILIES, TINY_LIMIT, random_index, save_tiny_model
from uwe_core.explanation import Pair, explain, fold
from uwe_core.interaction import InteractionConfig, InteractionKind, interact
from uwe_core.model import UweModel
from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.scoring.reference import ReferenceScorer
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.tasks import RankingTask
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import StorageType, TokenIndex
from uwe_core.token_span import TokenSpan

INTERACTIONS = st.builds(
    InteractionConfig,
    kind=st.sampled_from(get_args(InteractionKind)),
    interaction_temperature=st.floats(0.05, 20),
    query_reduction=st.sampled_from(["sum", "mean"]),
)
TASK = RankingTask(name="find", description="", queries="", target_space="jobs")
TEXTS = ["nurse", "take blood pressure, for people", "Bake (bread)", "weld metal " * TINY_LIMIT]


def tokens(count: int, seed: int, dim: int = 4) -> Tensor:
    return 3 * torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whole(text: Tensor) -> Tensor:
    return torch.ones(1, len(text), dtype=torch.bool)


def spans(count: int) -> list[TokenSpan]:
    return [TokenSpan(f"t{place}", place, place + 1) for place in range(count)]


@given(INTERACTIONS, st.integers(1, 6), st.integers(1, 6), st.integers(0, 999))
def test_the_contributions_of_all_pairs_sum_to_the_score(
    interaction: InteractionConfig, query_count: int, target_count: int, seed: int
) -> None:
    query, target = tokens(query_count, seed), tokens(target_count, seed + 1000)
    contributions = explain(interaction, query, target)
    assert contributions.shape == (query_count, target_count)
    score = interact(interaction, query[None], target[None], whole(query), whole(target)).item()
    assert contributions.sum().item() == pytest.approx(score, abs=1e-5)


@given(
    INTERACTIONS,
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.integers(1, 5),
    st.sampled_from(get_args(StorageType)),
    st.integers(0, 999),
)
def test_they_sum_to_the_references_score_of_tokens_as_an_index_stores_them(
    interaction: InteractionConfig, target_counts: list[int], query_count: int, dtype: StorageType, seed: int
) -> None:
    index, query = random_index(target_counts, dtype=dtype, seed=seed), tokens(query_count, seed, dim=8)
    (scores,) = ReferenceScorer(index, interaction).score(TokenEmbeddings.from_texts([query]))
    for target, (score, count) in enumerate(zip(scores.tolist(), target_counts, strict=True)):
        stored = index.tokens_of(target)
        assert len(stored) == count
        assert explain(interaction, query, stored.double()).sum().item() == pytest.approx(score, abs=1e-5)


def test_each_pair_of_soft_late_interaction_is_its_weight_times_its_cosine() -> None:
    query, target = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    interaction = InteractionConfig(interaction_temperature=5)
    weights = torch.tensor([3 / 5, 8 / 5]).softmax(dim=0)
    expected = (weights * torch.tensor([0.6, 0.8]))[None]
    torch.testing.assert_close(explain(interaction, query, target), expected)


def test_max_sim_gives_all_to_the_winning_pair_of_each_query_token() -> None:
    query, target = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    contributions = explain(InteractionConfig(kind="max_sim"), query, target)
    torch.testing.assert_close(contributions, torch.tensor([[0.0, 0.8], [1.0, 0.0]]))
    tie = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    torch.testing.assert_close(explain(InteractionConfig(kind="max_sim"), tie[:1], tie), torch.tensor([[1.0, 0.0]]))


@given(INTERACTIONS)
def test_a_token_of_zeros_adds_nothing_and_no_nan(interaction: InteractionConfig) -> None:
    assert not explain(interaction, torch.zeros(2, 4), torch.zeros(3, 4)).any()


@given(INTERACTIONS, st.integers(1, 8), st.integers(1, 8), st.floats(0, 1), st.integers(0, 999))
def test_whatever_is_folded_the_parts_sum_and_only_small_ones_are_folded(
    interaction: InteractionConfig, query_count: int, target_count: int, share: float, seed: int
) -> None:
    contributions = explain(interaction, tokens(query_count, seed), tokens(target_count, seed + 1000))
    explanation = fold(contributions, spans(target_count), share)
    sums = torch.tensor(explanation.rest, dtype=torch.float64)
    told = torch.zeros_like(contributions, dtype=torch.bool)
    for pair in explanation.pairs:
        sums[pair.query_token] += pair.contribution
        assert not told[pair.query_token, pair.target_token]
        told[pair.query_token, pair.target_token] = True
    torch.testing.assert_close(sums, contributions.sum(dim=1), rtol=0, atol=1e-6)
    sizes = [abs(pair.contribution) for pair in explanation.pairs]
    assert sizes == sorted(sizes, reverse=True)
    least = share * contributions.abs().sum().item()
    assert all(size >= least - 1e-7 for size in sizes)
    assert (contributions[~told].abs() <= least + 1e-7).all()
    assert explanation.tokens == spans(target_count)


def test_however_long_the_texts_are_few_pairs_are_told() -> None:
    even = fold(torch.full((100, 50), 0.01), spans(50))
    assert even.pairs == []
    assert even.rest == pytest.approx([0.5] * 100)
    one = fold(torch.eye(3)[:2], spans(3))
    assert one.pairs == [Pair(0, 0, 1.0), Pair(1, 1, 1.0)]
    assert one.rest == [0.0, 0.0]


@pytest.mark.parametrize("family", FAMILIES)
def test_spans_are_those_of_the_tokens_that_are_encoded(family: str, tmp_path: Path) -> None:
    encoder = UweModel.from_pretrained(save_tiny_model(family, tmp_path / "model"), device="cpu").encoder
    for text, ids, row in zip(TEXTS, encoder.tokenise(TEXTS).token_ids, encoder.spans(TEXTS), strict=True):
        assert encoder.tokenizer.convert_ids_to_tokens(ids) == [span.token for span in row]
        first, *inner, last = row
        assert [(special.token, special.start, special.end) for special in (first, last)] == [
            ("[CLS]", None, None),
            ("[SEP]", None, None),
        ]
        assert all(text[span.start : span.end].lower() == span.token for span in inner)


def test_a_special_token_that_the_text_itself_holds_has_its_place(tmp_path: Path) -> None:
    encoder = UweModel.from_pretrained(save_tiny_model("bert", tmp_path / "model"), device="cpu").encoder
    (row,) = encoder.spans(["a [SEP] b"])
    assert row[2] == TokenSpan("[SEP]", 2, 7)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> UweModel:
    return UweModel.from_pretrained(save_tiny_model("bert", tmp_path_factory.mktemp("m") / "bert"), device="cpu")


@pytest.mark.parametrize("kind", get_args(InteractionKind))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_rankers_explanations_sum_to_the_scores_it_gave(
    tiny: UweModel, kind: InteractionKind, dtype: StorageType
) -> None:
    model = tiny.with_interaction(InteractionConfig(kind=kind, interaction_temperature=1))
    space = TargetSpace(SpaceInfo(name="jobs"), ["1", "2", "3", "4"], TEXTS)
    index = TokenIndex.build(model.encoder, space, dtype)
    ranker = Ranker(model, {"jobs": RankableSpace(model, space, index)}, {"find": TASK})
    for query in TEXTS:
        (of_query,) = ranker.encode(ranker.tokenise([query]))
        (targets,) = ranker.rank("find", [query]).rankings
        assert all(target.explanation is None for target in targets)
        explanation = ranker.explain(ranker.spaces[TASK.target_space], query, of_query, targets[1:])
        assert len(explanation.query_tokens) == len(of_query)
        for target, why in zip(targets[1:], explanation.targets, strict=True):
            total = sum(pair.contribution for pair in why.pairs) + sum(why.rest)
            assert total == pytest.approx(target.score, abs=1e-5)
            assert len(why.rest) == len(of_query)
            assert len(why.tokens) == len(index.tokens_of(int(target.id) - 1))

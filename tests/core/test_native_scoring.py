"""The compiled kernel: equal to the dense formulas over every shape, storage, norm and temperature."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import random_index
from uwe_core.errors import ConfigurationError
from uwe_core.interaction import InteractionConfig, interact, inverse_norms
from uwe_core.scoring import Scorer, native
from uwe_core.scoring.grouped import GroupedScorer
from uwe_core.scoring.kernel.processor import DotsMethod, multiplies_int8, multiplies_tiles
from uwe_core.scoring.native import NativeScorer
from uwe_core.scoring.packed_queries import HIGH, LANES, pack_bfloat16, pack_floats, pack_int8
from uwe_core.scoring.scorer import make_scorer
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import StorageType, TokenIndex
from uwe_core.token_storage import read_back, stored
from uwe_core.types import Scores

KINDS = st.sampled_from(["soft_late_interaction", "two_way_late_interaction", "max_sim"])
STORAGE = st.sampled_from(get_args(StorageType))
COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=20)
# Relative to the norms, what a dot product may be off by: rounding, or queries in 15 bits.
FLOAT_ERROR, INT8_ERROR = 2e-6, 6e-5


def dense(index: TokenIndex, interaction: InteractionConfig, queries: TokenEmbeddings) -> Scores:
    targets = TokenEmbeddings(index.floats().double(), index.offsets).padded()
    sources = TokenEmbeddings(queries.embeddings.double(), queries.offsets).padded()
    by_storage = interact(interaction, sources[0], targets[0], sources[1], targets[1])
    scores = torch.empty_like(by_storage)
    scores[:, index.order] = by_storage
    return scores


def native_scorers(index: TokenIndex, interaction: InteractionConfig) -> dict[DotsMethod, NativeScorer]:
    """One scorer for each way of this processor to multiply the tokens of an index."""
    storage, dim = index.manifest.dtype, index.manifest.dim
    methods: list[DotsMethod] = ["floats"]
    if storage == "int8" and dim % 4 == 0 and multiplies_int8():
        methods.append("int8")
    if multiplies_tiles(storage) and index.embeddings[0].nbytes % 64 == 0:
        methods.append("tiles")
    scorers = {}
    for method in methods:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "dots_method", lambda _storage, _dim, method=method: method)
            scorers[method] = NativeScorer(index, interaction)
    return scorers


def drawn_queries(counts: list[int], dim: int, norm: float) -> TokenEmbeddings:
    generator = torch.Generator().manual_seed(7)
    return TokenEmbeddings.from_texts([norm * torch.randn(count, dim, generator=generator) for count in counts])


@settings(max_examples=40)
@given(
    KINDS, STORAGE, st.sampled_from(["sum", "mean"]), COUNTS, COUNTS, st.sampled_from([1, 4, 12, 21, 40, 64, 128]),
    st.sampled_from([1e-8, 1e-2, 1.0, 30.0]), st.sampled_from([0.3, 5.0, 1e6]),
)  # fmt: skip
def test_it_equals_the_dense_formulas(
    kind: str, dtype: StorageType, reduction: str, targets: list[int], queries: list[int], dim: int, norm: float,
    mildness: float,
) -> None:  # fmt: skip
    temperature = mildness * norm * norm * dim
    interaction = InteractionConfig.model_validate(
        {"kind": kind, "query_reduction": reduction, "interaction_temperature": temperature}
    )
    index = random_index(targets, dim=dim, dtype=dtype, norm=norm if dtype != "float16" else max(norm, 1e-2))
    tokens = drawn_queries(queries, dim, norm)
    error = INT8_ERROR if dtype == "int8" else FLOAT_ERROR
    # A softmax of logits that are off by e moves an average of cosines by 2e at most.
    largest = float(index.floats().norm(dim=1).max() * tokens.embeddings.norm(dim=1).max())
    allowed = max(queries) * error * (1 + 2 * largest / temperature)
    expected = dense(index, interaction, tokens)
    scorers: list[Scorer] = [*native_scorers(index, interaction).values(), GroupedScorer(index, interaction)]
    for scorer in scorers:
        torch.testing.assert_close(scorer.score(tokens).double(), expected, rtol=0, atol=allowed)


@settings(max_examples=40)
@given(
    KINDS, st.sampled_from(["float32", "bfloat16", "float16"]), COUNTS, st.sampled_from([1, 7, 20, 32]),
    st.sampled_from([1e-38, 1e-6, 1.0, 1e6, 1e38]), st.integers(0, 5),
)  # fmt: skip
def test_whole_numbers_are_exact_at_any_temperature_ties_included(
    kind: str, dtype: StorageType, targets: list[int], dim: int, temperature: float, seed: int
) -> None:
    interaction = InteractionConfig.model_validate({"kind": kind, "interaction_temperature": temperature})
    generator = torch.Generator().manual_seed(seed)
    index = random_index(targets, dim=dim, dtype=dtype)
    index.embeddings.copy_(torch.randint(-3, 4, index.embeddings.shape, generator=generator))
    index.inverse_norms.copy_(inverse_norms(index.floats()))
    tokens = TokenEmbeddings.from_texts([torch.randint(-3, 4, (3, dim), generator=generator).float() for _ in range(3)])
    for scorer in native_scorers(index, interaction).values():
        torch.testing.assert_close(scorer.score(tokens).double(), dense(index, interaction, tokens), rtol=0, atol=1e-5)


def test_norms_near_the_ends_of_float32_score_as_any_others() -> None:
    interaction = InteractionConfig(kind="max_sim")
    usual, tokens = random_index([3, 1, 2], dim=16), drawn_queries([2, 3], 16, 1.0)
    expected = NativeScorer(usual, interaction).score(tokens)
    for norm in (1e-11, 1e17):
        index = random_index([3, 1, 2], dim=16, norm=norm)
        torch.testing.assert_close(NativeScorer(index, interaction).score(tokens), expected)


@settings(max_examples=20)
@given(
    COUNTS, st.lists(st.integers(1, 9), min_size=1, max_size=6), STORAGE, st.sampled_from([8, 64]), st.integers(1, 3)
)
def test_pieces_passes_and_threads_change_nothing(
    targets: list[int], queries: list[int], dtype: StorageType, dim: int, threads: int
) -> None:
    interaction, tokens = InteractionConfig(interaction_temperature=2.0), drawn_queries(queries, dim, 1.0)
    index = random_index(targets, dim=dim, dtype=dtype)
    whole = {method: scorer.score(tokens) for method, scorer in native_scorers(index, interaction).items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "_PIECE_ROWS", 4)
        patch.setattr(native, "_PASS_TOKENS", 5)
        patch.setattr(torch, "get_num_threads", lambda: threads)
        for method, scorer in native_scorers(index, interaction).items():
            torch.testing.assert_close(scorer.score(tokens), whole[method], rtol=0, atol=1e-6)


@pytest.mark.skipif(not multiplies_tiles("int8"), reason="this processor has no matrix unit for int8")
@settings(max_examples=20)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_the_matrix_unit_scores_int8_as_the_vector_unit_does(targets: list[int], queries: list[int]) -> None:
    index, interaction = random_index(targets, dim=64, dtype="int8"), InteractionConfig(interaction_temperature=2.0)
    scorers, tokens = native_scorers(index, interaction), drawn_queries(queries, 64, 1.0)
    assert torch.equal(scorers["tiles"].score(tokens), scorers["int8"].score(tokens))


@pytest.mark.skipif(not multiplies_tiles("bfloat16"), reason="this processor has no matrix unit for bfloat16")
def test_the_matrix_unit_stays_usable_to_torch() -> None:
    index, interaction = random_index([3, 1, 70], dim=64, dtype="bfloat16"), InteractionConfig()
    left, right = torch.ones(64, 64).bfloat16(), torch.full((64, 64), 2.0).bfloat16()
    for _ in range(3):
        native_scorers(index, interaction)["tiles"].score(drawn_queries([4], 64, 1.0))
        assert (left @ right == 128).all()


def test_int8_without_its_instructions_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "dots_method", lambda _storage, _dim: "floats")
    index, interaction = random_index([1, 2, 9], dim=16, dtype="int8"), InteractionConfig(interaction_temperature=4.0)
    tokens = drawn_queries([3, 1], 16, 1.0)
    scores = NativeScorer(index, interaction).score(tokens)
    torch.testing.assert_close(scores.double(), dense(index, interaction, tokens), rtol=0, atol=1e-5)


def test_it_is_what_a_cpu_gets_and_refuses_pooled_interactions() -> None:
    index = random_index([1, 2])
    assert isinstance(make_scorer(index, InteractionConfig()), NativeScorer)
    with pytest.raises(ConfigurationError, match="pooled_cosine"):
        NativeScorer(index, InteractionConfig(kind="pooled_cosine"))


@given(st.integers(1, 20), st.integers(1, 9))
def test_few_query_tokens_fill_all_lanes_by_two_components_of_each(count: int, dim: int) -> None:
    tokens = drawn_queries([count], dim, 1.0).embeddings
    columns = pack_floats(tokens).columns
    assert columns.shape[2] * columns.shape[3] == LANES
    assert columns.shape[3] == (2 if count <= LANES // 2 and dim % 2 == 0 else 1)
    assert torch.equal(columns.transpose(1, 2).flatten(2).flatten(0, 1)[:count], tokens)


@given(st.integers(1, 20), st.sampled_from([4, 8, 40]), st.sampled_from([1e-20, 1.0, 1e20]))
def test_queries_in_two_parts_are_the_queries_to_15_bits(count: int, dim: int, norm: float) -> None:
    tokens = drawn_queries([count], dim, norm).embeddings
    packed = pack_int8(tokens)
    columns = packed.columns.transpose(1, 2).flatten(2).flatten(0, 1).float()
    whole = HIGH * columns[:count] + columns[count : 2 * count]
    assert packed.scales is not None
    restored = whole * packed.scales[:count, None]
    half_a_step = tokens.abs().amax(dim=1, keepdim=True) / (2 * HIGH * 127)
    assert ((restored - tokens).abs() <= 1.001 * half_a_step).all()


@given(st.integers(1, 20), st.sampled_from([2, 32]), st.sampled_from([1e-20, 1.0, 1e20]))
def test_queries_in_three_parts_are_the_queries(count: int, dim: int, norm: float) -> None:
    tokens = drawn_queries([count], dim, norm).embeddings
    columns = pack_bfloat16(tokens).columns.transpose(1, 2).flatten(2).flatten(0, 1).double()
    restored = columns[:count] + columns[count : 2 * count] + columns[2 * count : 3 * count]
    torch.testing.assert_close(restored, tokens.double(), rtol=2e-7, atol=0)


@given(st.integers(1, 5), st.integers(1, 30), st.sampled_from([1e-20, 1.0, 1e20]))
def test_int8_storage_is_off_by_half_a_step_and_is_symmetric(count: int, dim: int, norm: float) -> None:
    tokens = drawn_queries([count], dim, norm).embeddings
    whole, scales = stored(tokens, "int8")
    assert scales is not None
    assert math.isclose(int(whole.abs().max()), 127)
    assert ((read_back(whole, scales) - tokens).abs() <= 0.501 * scales[:, None]).all()
    assert torch.equal(stored(-tokens, "int8")[0], -whole)
    zeros, none = stored(torch.zeros(2, dim), "int8")
    assert torch.equal(read_back(zeros, none), torch.zeros(2, dim))

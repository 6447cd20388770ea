"""The GPU's fused kernel, on a CPU by Triton's interpreter: equal to the dense formulas."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.test_native_scoring import dense, drawn_queries
from tests.fakes import random_index
from uwe_core.errors import ConfigurationError
from uwe_core.interaction import InteractionConfig
from uwe_core.token_index import StorageType

if find_spec("triton") is None:
    pytest.skip("triton is not installed", allow_module_level=True)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernel is imported

from uwe_core.scoring.fused import FusedScorer, cut_queries
from uwe_core.scoring.fused_kernel import QUERY_TOKENS

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@settings(max_examples=15)  # the interpreter is slow
@given(
    st.sampled_from(["soft_late_interaction", "two_way_late_interaction", "max_sim"]),
    st.sampled_from(["float32", "bfloat16", "float16", "int8"]),
    st.sampled_from(["sum", "mean"]),
    st.lists(st.integers(1, 40), min_size=1, max_size=11),
    st.lists(st.integers(1, 20), min_size=1, max_size=3),
    st.sampled_from([8, 40]),
    st.sampled_from([(1.0, 5.0), (1e-3, 1e-6), (30.0, 3000.0)]),
)
def test_it_equals_the_dense_formulas(
    kind: str,
    dtype: StorageType,
    reduction: str,
    targets: list[int],
    queries: list[int],
    dim: int,
    norm_and_temperature: tuple[float, float],
) -> None:
    norm, temperature = norm_and_temperature
    interaction = InteractionConfig.model_validate(
        {"kind": kind, "query_reduction": reduction, "interaction_temperature": temperature}
    )
    index, tokens = random_index(targets, dim=dim, dtype=dtype, norm=norm), drawn_queries(queries, dim, norm)
    expected = dense(index, interaction, tokens)
    moved = type(tokens)(tokens.embeddings.to(DEVICE), tokens.offsets)
    scores = FusedScorer(index.to(DEVICE), interaction).score(moved).cpu()
    largest = float(index.floats().norm(dim=1).max() * tokens.embeddings.norm(dim=1).max())
    allowed = max(queries) * 2e-6 * (1 + 2 * largest / temperature)
    torch.testing.assert_close(scores.double(), expected, rtol=0, atol=allowed)


@pytest.mark.parametrize("temperature", [1e-38, 1e38])
def test_temperatures_at_the_ends_of_float32_give_no_nan(temperature: float) -> None:
    index, tokens = random_index([1, 20, 3]), drawn_queries([2], 8, 1.0)
    interaction = InteractionConfig(interaction_temperature=temperature)
    moved = type(tokens)(tokens.embeddings.to(DEVICE), tokens.offsets)
    scores = FusedScorer(index.to(DEVICE), interaction).score(moved).cpu()
    torch.testing.assert_close(scores.double(), dense(index, interaction, tokens), rtol=0, atol=1e-5)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_pieces_hold_every_query_token_once_and_in_order(counts: list[int]) -> None:
    pieces = cut_queries(torch.tensor([0, *counts]).cumsum(0))
    owners = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    real = pieces.real > 0
    assert pieces.rows[real].tolist() == list(range(sum(counts)))
    assert pieces.queries[:, None].expand_as(real)[real].tolist() == owners.tolist()
    assert pieces.rows.shape[1] == QUERY_TOKENS
    assert int(pieces.rows.max()) < sum(counts)


def test_pooled_interactions_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="pooled_cosine"):
        FusedScorer(random_index([1]), InteractionConfig(kind="pooled_cosine"))

"""The loss of a batch: gradients through the cache equal those of one graph of computation, and training learns."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.fakes import FAMILIES, save_tiny_model
from uwe_core.batches.sampling import BatchSampler, SamplingConfig
from uwe_core.encoder import TokenEncoder
from uwe_core.gradients.gradient_cache import StepLimits, batch_loss, cached_step, token_gradients
from uwe_core.gradients.objective import BatchLoss, GraphLossConfig, LossConfig, LossKind
from uwe_core.gradients.packed_tokens import PackedTokens
from uwe_core.gradients.prepared_batch import PreparedBatch, prepare
from uwe_core.graph import BipartiteGraph
from uwe_core.interaction import InteractionConfig, InteractionKind
from uwe_core.model import UweModel

pytestmark = pytest.mark.usefixtures("one_thread")

SKILLS = ["weld", "weld metal", "bake bread", "take blood", "care for people", "pressure", "bake , weld"]
TARGETS = {
    "job": ["nurse", "welder", "baker", "a nurse ( people )", "metal welder", "bread baker for people"],
    "sentence": [
        "take care , take the blood pressure of people",
        "weld the metal ( metal ) , weld",
        "a b c",
        "bake bread",
        "people , people",
        "nurse b",
    ],
    "title": ["nurse", "baker", "welder"],
}
# Some chunks and some blocks are kept, some are made twice.
LIMITS = StepLimits(tokens_per_chunk=30, pairs_per_block=400, pairs_kept=2000, bytes_kept=100_000)
NOTHING_KEPT = LIMITS.model_copy(update={"pairs_kept": 0, "bytes_kept": 0})


def graphs() -> list[BipartiteGraph]:
    edges = {
        "job": [(0, 1), (0, 4), (1, 1), (1, 4), (2, 2), (2, 5), (3, 0), (3, 3), (4, 3), (5, 0), (6, 2), (6, 1)],
        "sentence": [(0, 1), (2, 3), (3, 0), (4, 4), (5, 0), (6, 3)],
        "title": [(0, 0), (1, 0), (2, 1), (3, 2)],
    }
    queries = {"title": ["a nurse", "nurse for people", "bread baker", "metal welder"]}
    return [
        BipartiteGraph(
            name,
            queries.get(name, SKILLS),
            targets,
            np.array(edges[name], dtype=np.int64),
            ["s"] * len(targets),
            [""] * len(targets),
            of_skills=name != "title",
        )
        for name, targets in TARGETS.items()
    ]


def config(kind: LossKind = "many_to_many", interaction: InteractionConfig | None = None) -> LossConfig:
    losses = {name: GraphLossConfig(alpha=0.5, loss_temperature=0.3, kind=kind) for name in ("job", "sentence")}
    title = GraphLossConfig(alpha=2.0, loss_temperature=0.5)
    mean = InteractionConfig(interaction_temperature=2.0, query_reduction="mean")
    return LossConfig(graphs={**losses, "title": title}, interaction=interaction or mean, max_tokens_per_text=12)


def tiny(family: str, folder: Path) -> TokenEncoder:
    """In training mode, so that dropout is on."""
    encoder = UweModel.from_pretrained(save_tiny_model(family, folder), device="cpu").encoder
    encoder.backbone.train()
    return encoder


def drawn(encoder: TokenEncoder, loss: LossConfig, step: int = 0) -> PreparedBatch:
    sampler = BatchSampler(graphs(), SamplingConfig(skills_per_batch=5, queries_per_batch=3), seed=1)
    batch = sampler.batch(step)
    assert any(text.prefix or text.suffix for text in batch.texts)
    return prepare(encoder, batch, loss)


def gradients(encoder: TokenEncoder) -> dict[str, Tensor]:
    taken = {
        name: weight.grad.clone() for name, weight in encoder.backbone.named_parameters() if weight.grad is not None
    }
    encoder.backbone.zero_grad()
    return taken


def uncached(encoder: TokenEncoder, batch: PreparedBatch, loss: LossConfig) -> BatchLoss:
    result = batch_loss(encoder, batch, loss, LIMITS)
    result.total.backward()
    return result


@pytest.fixture(scope="module", params=FAMILIES)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TokenEncoder:
    return tiny(request.param, tmp_path_factory.mktemp("model") / request.param)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> TokenEncoder:
    return tiny("bert", tmp_path_factory.mktemp("model") / "bert")


def assert_the_cache_changes_nothing(encoder: TokenEncoder, loss: LossConfig, tolerance: float = 1e-5) -> None:
    batch = drawn(encoder, loss)
    torch.manual_seed(5)
    whole = uncached(encoder, batch, loss)
    state, wanted = torch.get_rng_state(), gradients(encoder)
    torch.manual_seed(5)
    cached = cached_step(encoder, batch, loss, LIMITS)
    assert torch.equal(torch.get_rng_state(), state), "what is random goes on as without the cache"
    found = gradients(encoder)
    assert not cached.total.requires_grad
    torch.testing.assert_close(cached.total, whole.total.detach())
    assert cached.terms.keys() == whole.terms.keys()
    for name, term in cached.terms.items():
        torch.testing.assert_close(term.value, whole.terms[name].value.detach())
        assert not term.value.requires_grad
    assert found.keys() == wanted.keys()
    largest = max(float(gradient.norm()) for gradient in wanted.values())
    assert largest > 0
    for name, gradient in found.items():
        # some gradients are zero but for rounding, such as those of the biases of keys
        scale = max(float(wanted[name].norm()), 1e-3 * largest)
        assert float((gradient - wanted[name]).norm()) <= tolerance * scale, name


def test_dropout_is_on_or_these_tests_show_nothing(encoder: TokenEncoder) -> None:
    loss = config()
    batch = drawn(encoder, loss)
    one, other = (batch_loss(encoder, batch, loss, LIMITS).total.item() for _ in range(2))
    assert (one != other) == (encoder.backbone.config.model_type != "modernbert")  # which has none by default


def test_the_cache_changes_no_gradient_in_any_family(encoder: TokenEncoder) -> None:
    assert_the_cache_changes_nothing(encoder, config())


@pytest.mark.parametrize("interaction", get_args(InteractionKind))
@pytest.mark.parametrize("kind", get_args(LossKind))
def test_the_cache_changes_no_gradient_of_any_score_and_loss(
    kind: LossKind, interaction: InteractionKind, bert: TokenEncoder
) -> None:
    mean = InteractionConfig(kind=interaction, interaction_temperature=2.0, query_reduction="mean")
    assert_the_cache_changes_nothing(bert, config(kind, mean))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_the_cache_changes_no_gradient_on_a_gpu_whose_dropout_has_its_own_random_numbers(tmp_path: Path) -> None:
    encoder = tiny("bert", tmp_path)
    encoder.backbone.to("cuda")  # type: ignore[arg-type]
    assert_the_cache_changes_nothing(encoder, config(), tolerance=1e-4)  # sums are in no fixed order there


@pytest.mark.parametrize("pairs_per_block", [1, 300, 10**6])
def test_the_size_of_a_block_changes_nothing_and_the_gradient_points_uphill(
    pairs_per_block: int, bert: TokenEncoder
) -> None:
    loss = config()
    batch = drawn(bert, loss)
    counts = [len(ids) for ids in batch.token_ids]
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(sum(counts), 4, generator=generator, dtype=torch.float64)

    def at(place: Tensor, pairs: int) -> tuple[BatchLoss, Tensor]:
        packed = PackedTokens.from_chunks([place], [range(len(counts))], counts)
        return token_gradients(packed, batch.objectives, loss.interaction, pairs)

    value, gradient = at(tokens, pairs_per_block)
    same, wanted = at(tokens, 50)
    torch.testing.assert_close(value.total, same.total)
    torch.testing.assert_close(gradient, wanted)
    step = 1e-5
    above, below = (at(tokens + sign * step * gradient, pairs_per_block)[0].total for sign in (1, -1))
    assert float(above - below) / (2 * step) == pytest.approx(float(gradient.square().sum()), rel=1e-6)


def test_the_encoder_never_sees_more_tokens_at_once_than_it_may(bert: TokenEncoder) -> None:
    seen: list[tuple[int, int]] = []
    hook = bert.backbone.register_forward_pre_hook(
        lambda _, arguments, named: seen.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    loss = config()
    batch = drawn(bert, loss)
    cached_step(bert, batch, loss, LIMITS)
    cached_step(bert, batch, loss, NOTHING_KEPT)
    hook.remove()
    gradients(bert)
    assert all(texts * tokens <= LIMITS.tokens_per_chunk for texts, tokens in seen)
    # what is kept is not encoded twice
    assert 3 * len(batch.token_ids) < sum(texts for texts, _ in seen) < 4 * len(batch.token_ids)


def test_a_second_batch_adds_to_the_gradients_of_the_first(bert: TokenEncoder) -> None:
    loss = config()
    bert.backbone.eval()
    for step in (0, 1):
        cached_step(bert, drawn(bert, loss, step), loss, LIMITS)
    together = gradients(bert)
    for step in (0, 1):
        uncached(bert, drawn(bert, loss, step), loss)
    wanted = gradients(bert)
    bert.backbone.train()
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-5)


def test_bfloat16_products_give_float32_gradients_near_the_exact_ones(bert: TokenEncoder) -> None:
    loss = config()
    batch = drawn(bert, loss)
    bert.backbone.eval()
    found = []
    for precision in ("float32", "bfloat16"):
        cached_step(bert, batch, loss, LIMITS.model_copy(update={"precision": precision}))
        taken = gradients(bert)
        assert {gradient.dtype for gradient in taken.values()} == {torch.float32}
        found.append(torch.cat([gradient.flatten() for gradient in taken.values()]))
    bert.backbone.train()
    exact, rounded = found
    assert 0 < float((exact - rounded).norm()) < 0.1 * float(exact.norm())


def test_twenty_steps_on_a_tiny_graph_lower_every_term_of_the_loss(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = tiny("bert", tmp_path)
    loss = config()
    optimizer = torch.optim.AdamW(encoder.backbone.parameters(), lr=3e-3)
    terms: dict[str, list[float]] = {name: [] for name in TARGETS}
    for step in range(20):
        optimizer.zero_grad()
        result = cached_step(encoder, drawn(encoder, loss, step), loss, LIMITS)
        optimizer.step()
        for name, term in result.terms.items():
            terms[name].append(term.value.item())
    for name, values in terms.items():
        assert sum(values[-5:]) < 0.8 * sum(values[:5]), name

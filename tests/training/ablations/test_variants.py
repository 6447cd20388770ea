"""What each ablation compares: one thing differs, everything else is the recipe's."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch

from training.ablations.config import (
    FULL,
    SMALL,
    AblationConfig,
    AblationName,
    ablation_config,
    default_recipe,
    default_size,
)
from training.ablations.paper import paper_gains, paper_map
from training.ablations.temperature_grid import PAPER_GRID, PAPER_SQUARED_LENGTH, scaled_grid
from training.ablations.variants import Variant, variants_of
from uwe_core.encoder import TokenEncoder
from uwe_core.errors import ConfigurationError, InputError
from uwe_core.gradients.objective import LossConfig
from uwe_core.interaction import InteractionConfig

TINY = SMALL.model_copy(update={"steps": 7, "skills": 10})


def config(recipe: str = "minilm_cpu", **choices: Any) -> AblationConfig:
    return ablation_config(recipe, TINY, (), **choices)


def losses_of(variant: Variant) -> dict[str, tuple[str, float, float]]:
    graphs = variant.run.train.loss.graphs.items()
    return {name: (loss.kind, loss.alpha, loss.loss_temperature) for name, loss in graphs if loss.alpha > 0}


def test_a_gpu_gets_the_papers_size_and_a_processor_a_small_one() -> None:
    assert (FULL.steps, FULL.skills, FULL.seeds) == (600, 512, 5)
    assert default_size("loss", has_gpu=True) == FULL
    assert default_size("transfer", has_gpu=True).steps == 300
    assert default_size("transfer", has_gpu=False) == SMALL
    assert [default_recipe(has_gpu=has) for has in (True, False)] == ["paper", "minilm_cpu"]


def test_the_size_replaces_the_recipes_and_nothing_stops_early() -> None:
    run = ablation_config("minilm_cpu", TINY, ["train.patience=none", "train.dropout=0.1"]).run
    assert (run.train.steps, run.train.evaluate_every, run.train.patience) == (7, 7, None)
    assert (run.train.sampling.skills_per_batch, run.train.sampling.queries_per_batch) == (10, 5)
    assert (run.train.precision, run.train.dropout) == ("auto", 0.1)
    assert (run.validation.most_queries, run.validation.most_targets) == (300, 2000)


def test_losses_differ_in_kind_alone_and_rank_by_pooled_cosine() -> None:
    found = {variant.name: variant for variant in variants_of("loss", config())}
    assert list(found) == ["info_nce", "pairwise", "many_to_many"]
    paper = {"job": (1.0, 0.05), "sentence": (0.5, 0.02), "alternative": (0.5, 0.02)}
    for kind in ("pairwise", "many_to_many"):
        assert losses_of(found[kind]) == {name: (kind, *numbers) for name, numbers in paper.items()}
    assert losses_of(found["info_nce"]) == dict.fromkeys(paper, ("info_nce", 1.0, 0.05))
    for variant in found.values():
        loss = variant.run.train.loss
        assert LossConfig.model_validate(loss.model_dump()) == loss
        assert loss.interaction.kind == "pooled_cosine"
        assert variant.run.interaction == InteractionConfig(kind="pooled_cosine")


def test_transfer_trains_on_each_of_the_papers_graphs_alone_and_on_all() -> None:
    found = {variant.name: set(losses_of(variant)) for variant in variants_of("transfer", config())}
    assert found == {
        "job": {"job"}, "sentence": {"sentence"}, "alternative": {"alternative"},
        "all": {"job", "sentence", "alternative"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("shared", "titles"),
    [
        (config(), ["context_match at 20", "soft_late_interaction at 20"]),
        (config("paper"), ["context_match at 0.5", "soft_late_interaction at 0.1"]),
        (
            config("paper", soft_temperature=3.0, pooled_temperature=4.0),
            ["context_match at 4", "soft_late_interaction at 3"],
        ),
    ],
)
def test_interactions_are_the_same_in_the_loss_and_in_ranking(shared: AblationConfig, titles: list[str]) -> None:
    variants = variants_of("interaction", shared)
    assert [variant.title for variant in variants] == ["pooled_cosine", "max_sim", *titles]
    for variant in variants:
        ranking, loss = variant.run.interaction, variant.run.train.loss.interaction
        assert ranking is not None
        assert (ranking.query_reduction, loss.query_reduction) == ("sum", "mean")
        assert loss.model_copy(update={"query_reduction": "sum"}) == ranking
        assert {kind for kind, _, _ in losses_of(variant).values()} == {"many_to_many"}


def test_temperatures_are_a_grid_of_both_soft_interactions() -> None:
    variants = variants_of("temperature", config(temperatures=(2.0, 0.5)))
    assert [(variant.family, variant.temperature) for variant in variants] == [
        ("soft_late_interaction", 0.5), ("soft_late_interaction", 2.0),
        ("context_match", 0.5), ("context_match", 2.0),
    ]  # fmt: skip
    assert len({variant.name for variant in variants}) == 4


def test_shares_of_synthetic_texts_differ_in_these_alone_and_train_as_many_to_many_of_the_losses() -> None:
    variants = variants_of("texts", config(shares=(0.5, 0.0)))
    assert [(variant.name, variant.synthetic_share) for variant in variants] == [
        ("share0", 0.0), ("share0.5", 0.5), ("all", 1.0),
    ]  # fmt: skip
    (many,) = [variant for variant in variants_of("loss", config()) if variant.name == "many_to_many"]
    assert all(variant.run == many.run for variant in variants)


@pytest.mark.parametrize("name", ["loss", "interaction"])
def test_the_paper_has_a_figure_for_every_variant(name: AblationName) -> None:
    table: Literal["loss", "interaction"] = "loss" if name == "loss" else "interaction"
    assert all(paper_map(table, variant.name) for variant in variants_of(name, config()))


def test_the_papers_figures_by_sample() -> None:
    assert paper_map("loss", "many_to_many") == "38.33 ± 0.24"
    assert paper_map("interaction", "soft_late_interaction") == "39.45 ± 0.20 at 0.1"
    assert paper_gains("job")["skill2job"] == "+7.2"
    assert paper_gains("sentence") == {}


def test_what_cannot_be_is_a_clear_error() -> None:
    with pytest.raises(ConfigurationError, match="soft_temperature: Input should be greater than 0"):
        config(soft_temperature=0.0)
    with pytest.raises(ConfigurationError, match="shares: Input should be less than 1"):
        config(shares=(1.0,))
    with pytest.raises(InputError, match="no recipe"):
        config("nonsense")


@pytest.mark.parametrize(
    ("times", "grid"), [(1.03, PAPER_GRID), (7.96, (0.8, 4.0, 8.0, 20.0)), (0.1, (0.01, 0.05, 0.1, 0.2))]
)
def test_the_grid_grows_with_the_squared_length_of_tokens(
    times: float, grid: tuple[float, ...], monkeypatch: pytest.MonkeyPatch, embedded_model: object
) -> None:
    from uwe_core.model import UweModel

    assert isinstance(embedded_model, UweModel)
    encode = TokenEncoder.encode

    def of_that_length(self: TokenEncoder, *arguments: Any) -> Any:
        encoded = encode(self, *arguments)
        units = torch.nn.functional.normalize(encoded.embeddings, dim=-1)
        encoded.embeddings.copy_(units * (times * PAPER_SQUARED_LENGTH) ** 0.5)
        return encoded

    monkeypatch.setattr(TokenEncoder, "encode", of_that_length)
    assert scaled_grid(embedded_model.encoder, ["weld metal", "bake bread"]) == grid

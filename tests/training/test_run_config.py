"""Recipes, and single values set over them."""

from __future__ import annotations

import pytest

from training.recipes import RECIPES, recipe_of
from training.run_config import RunConfig, overridden
from uwe_core.errors import ConfigurationError, InputError
from uwe_core.trainer.train_config import LoraSettings


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_whole_and_comes_back_from_json(name: str) -> None:
    recipe = recipe_of(name)
    assert RunConfig.model_validate_json(recipe.model_dump_json()) == recipe
    assert {"job", "sentence", "alternative", "title", "activity"} == recipe.train.loss.graphs.keys()
    assert recipe.train.loss.interaction.query_reduction == "mean"


def test_the_paper_recipe_has_the_papers_values() -> None:
    train = recipe_of("paper").train
    assert (train.steps, train.peak_learning_rate, train.warmup_share, train.lora) == (None, 8e-5, 0.1, None)
    assert (train.sampling.skills_per_batch, train.sampling.augmentation_probability) == (512, 0.8)
    weights = {name: (loss.alpha, loss.loss_temperature) for name, loss in train.loss.graphs.items() if loss.alpha}
    assert weights == {"job": (1.0, 0.05), "sentence": (0.5, 0.02), "alternative": (0.5, 0.02)}
    assert train.loss.max_tokens_per_text == 64


def test_values_are_replaced_as_toml_and_everything_else_stays() -> None:
    before = recipe_of("smoke")
    after = overridden(
        before,
        [
            "train.steps=7",
            "train.peak_learning_rate = 1e-4",
            "train.betas=[0.9, 0.98]",
            "train.loss.graphs.job.alpha=0.25",
            "train.clip_norm=none",
            "model=mpnet-base",
        ],
    )
    train = after.train
    assert (train.steps, train.peak_learning_rate, train.betas, train.clip_norm) == (7, 1e-4, (0.9, 0.98), None)
    assert (train.loss.graphs["job"].alpha, after.model) == (0.25, "mpnet-base")
    assert train.loss.graphs["sentence"] == before.train.loss.graphs["sentence"]
    assert overridden(before, []) == before


def test_what_is_off_is_switched_on_by_a_value_of_its_own() -> None:
    assert overridden(recipe_of("paper"), ["train.lora.rank=8"]).train.lora == LoraSettings(rank=8)
    assert overridden(recipe_of("smoke"), ["train.lora=none"]).train.lora is None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.stepz=3", r"train\.stepz: Extra inputs are not permitted"),
        ("nonsense=3", "nonsense: Extra inputs"),
        ("train.steps=0", r"train\.steps: Input should be greater"),
        ("train.steps=many", r"train\.steps: Input should be a valid integer"),
        ("train.steps.more=1", "steps is one value"),
        ("train.steps", "is not of the form key.sub=value"),
        ("=3", "is not of the form"),
        ("train.betas=[0.9", "is not a value of TOML"),
    ],
)
def test_a_setting_that_cannot_be_is_a_clear_error(setting: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        overridden(recipe_of("smoke"), [setting])


def test_an_unknown_recipe_is_told_with_those_there_are() -> None:
    with pytest.raises(InputError, match="no recipe 'nonsense'; there are: paper, mpnet_gpu"):
        recipe_of("nonsense")

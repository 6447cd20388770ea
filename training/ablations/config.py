"""AblationConfig: what all variants of an ablation share, and how large it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.recipes import recipe_of
from training.run_config import RunConfig, overridden
from training.validation import ValidationConfig
from uwe_core.errors import ConfigurationError

AblationName = Literal["loss", "interaction", "temperature", "transfer", "texts"]
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
PAPER_RECIPE = "paper"
# The paper's ablations train on these alone (section 6).
PAPER_GRAPHS = ("job", "sentence", "alternative")
_TRANSFER_STEPS = 300
# Table 5: the best temperature of the pooled target, beside 0.1 of the tokens, which the recipe has.
_PAPER_POOLED_TEMPERATURE = 0.5


class AblationSize(BaseModel):
    """How large an ablation is.

    Attributes:
        steps: updates of each cell.
        seeds: runs of each variant, with the seeds 0, 1, 2, ...
        skills: of a batch.
        queries: of each validation set, at most; None: all.
        targets: likewise, but for those that a query needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=600, ge=1)
    seeds: int = Field(default=5, ge=1)
    skills: int = Field(default=512, ge=1)
    queries: int | None = Field(default=500, ge=1)
    targets: int | None = Field(default=None, ge=1)


FULL = AblationSize()
# What a processor does in an hour or so; it shows an order, and the caption says that it is smaller.
SMALL = AblationSize(steps=100, seeds=3, skills=64, queries=300, targets=2000)


class AblationConfig(BaseModel):
    """What the variants of an ablation share.

    Attributes:
        run: the training that each variant changes in one place.
        recipe: the name of what `run` began as.
        seeds: runs of each variant.
        soft_temperature: interaction temperature of the variants that compare tokens with tokens; None: that which
            the recipe ranks with, or else its loss.
        pooled_temperature: of those that compare tokens with a pooled target; None: the same.
        temperatures: that the ablation `temperature` tries; none: the paper's, scaled to the encoder.
        shares: of the synthetic texts that the ablation `texts` compares to all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: RunConfig
    recipe: str
    seeds: int = Field(default=5, ge=1)
    soft_temperature: Temperature | None = None
    pooled_temperature: Temperature | None = None
    temperatures: tuple[Temperature, ...] = ()
    shares: tuple[Share, ...] = Field(default=(0.5,), min_length=1)


def default_size(name: AblationName, *, has_gpu: bool) -> AblationSize:
    """The paper's size where a GPU is, and a small one elsewhere."""
    if not has_gpu:
        return SMALL
    return FULL.model_copy(update={"steps": _TRANSFER_STEPS}) if name == "transfer" else FULL


def default_recipe(*, has_gpu: bool) -> str:
    """The paper's recipe where a GPU is."""
    return PAPER_RECIPE if has_gpu else "minilm_cpu"


def ablation_config(recipe: str, size: AblationSize, settings: Sequence[str], **choices: Any) -> AblationConfig:
    """A configuration from a recipe, whose size and precision are replaced, and single values over that.

    Args:
        recipe: its name.
        size: of the ablation.
        settings: see `overridden`.
        **choices: temperatures and shares of `AblationConfig`.

    Raises:
        InputError: there is no such recipe.
        ConfigurationError: a setting is none, or no temperature or share is what is named as one.
    """
    run = overridden(_sized(recipe_of(recipe), size), settings)
    own = {"pooled_temperature": _PAPER_POOLED_TEMPERATURE} if recipe == PAPER_RECIPE else {}
    try:
        return AblationConfig(run=run, recipe=recipe, seeds=size.seeds, **(own | choices))
    except ValidationError as error:
        problems = "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors())
        raise ConfigurationError(f"the ablation cannot be: {problems}") from error


def _sized(run: RunConfig, size: AblationSize) -> RunConfig:
    """No early stopping, and validation at the end alone, since the last step is what counts."""
    sampling = run.train.sampling.model_copy(
        update={"skills_per_batch": size.skills, "queries_per_batch": max(1, size.skills // 2)}
    )
    losses = {
        name: loss if name in PAPER_GRAPHS else loss.model_copy(update={"alpha": 0.0})
        for name, loss in run.train.loss.graphs.items()
    }
    news = {
        "steps": size.steps,
        "evaluate_every": size.steps,
        "patience": None,
        "precision": "auto",
        "sampling": sampling,
        "loss": run.train.loss.model_copy(update={"graphs": losses}),
    }
    validation = ValidationConfig(most_queries=size.queries, most_targets=size.targets)
    return run.model_copy(update={"train": run.train.model_copy(update=news), "validation": validation})

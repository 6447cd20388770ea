"""Recipes: named functions, each returning one whole configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from training.run_config import RunConfig
from training.trials import TrialConfig
from training.validation import ValidationConfig
from uwe_core.batches.sampling import SamplingConfig
from uwe_core.errors import InputError
from uwe_core.gradients.gradient_cache import StepLimits
from uwe_core.gradients.objective import GraphLossConfig, LossConfig
from uwe_core.interaction import InteractionConfig
from uwe_core.trainer.train_config import LoraSettings, TrainConfig

# A GPU is bound by kernel launches at the defaults, which are for processors.
_GPU_LIMITS = StepLimits(tokens_per_chunk=2**15, pairs_per_block=2**24)


def paper() -> RunConfig:
    """The paper's values (section 5, appendix A): MPNet, all weights, three graphs, as long as its largest graph."""
    return RunConfig(
        model="mpnet-base",
        interaction=InteractionConfig(interaction_temperature=0.1),
        train=TrainConfig(
            peak_learning_rate=8e-5,
            sampling=SamplingConfig(skills_per_batch=512, augmentation_probability=0.8),
            loss=_loss(interaction_temperature=0.1, title=0.0),
            limits=_GPU_LIMITS,
        ),
        trials=TrialConfig(query_reductions=("sum", "mean"), steps=100),
    )


def mpnet_gpu() -> RunConfig:
    """MPNet by adapters on our own data: the second prototype."""
    return RunConfig(
        model="mpnet-base",
        interaction=InteractionConfig(interaction_temperature=1.0),
        train=TrainConfig(
            steps=313,
            peak_learning_rate=6e-4,
            lora=LoraSettings(rank=32, alpha=64),
            freeze_embeddings=True,
            loss=_loss(interaction_temperature=0.5),
            limits=_GPU_LIMITS,
        ),
    )


def minilm_gpu() -> RunConfig:
    """MiniLM by adapters on our own data: the first prototype."""
    return RunConfig(
        model="embedded-base",
        interaction=InteractionConfig(interaction_temperature=20.0),
        train=TrainConfig(
            steps=478,
            peak_learning_rate=1e-3,
            lora=LoraSettings(rank=64, alpha=128),
            freeze_embeddings=True,
            loss=_loss(interaction_temperature=10.0),
            limits=_GPU_LIMITS,
        ),
    )


def minilm_cpu() -> RunConfig:
    """MiniLM by adapters in an hour or so on two processors."""
    return RunConfig(
        model="embedded-base",
        interaction=InteractionConfig(interaction_temperature=20.0),
        train=TrainConfig(
            steps=150,
            peak_learning_rate=1e-3,
            precision="float32",
            lora=LoraSettings(rank=64, alpha=128),
            freeze_embeddings=True,
            evaluate_every=50,
            save_every=10,
            sampling=SamplingConfig(skills_per_batch=96, queries_per_batch=48),
            loss=_loss(interaction_temperature=10.0),
        ),
        validation=ValidationConfig(most_queries=200, most_targets=3000),
    )


def smoke() -> RunConfig:
    """MiniLM on the sample, in about a minute on two processors: does everything work, and does it learn?"""
    return RunConfig(
        model="embedded-base",
        interaction=InteractionConfig(interaction_temperature=20.0),
        train=TrainConfig(
            steps=16,
            peak_learning_rate=5e-4,
            precision="float32",
            lora=LoraSettings(rank=16, alpha=32),
            freeze_embeddings=True,
            evaluate_every=16,
            save_every=16,
            sampling=SamplingConfig(skills_per_batch=20),
            loss=_loss(interaction_temperature=10.0).model_copy(update={"max_tokens_per_text": 32}),
        ),
        validation=ValidationConfig(most_queries=60),
    )


RECIPES: Mapping[str, Callable[[], RunConfig]] = {
    recipe.__name__: recipe for recipe in (paper, mpnet_gpu, minilm_gpu, minilm_cpu, smoke)
}


def recipe_of(name: str) -> RunConfig:
    """The configuration of that name.

    Raises:
        InputError: there is none.
    """
    if name not in RECIPES:
        raise InputError(f"no recipe '{name}'; there are: {', '.join(RECIPES)}")
    return RECIPES[name]()


def _loss(*, interaction_temperature: float, title: float = 0.5) -> LossConfig:
    """The paper's weights and loss temperatures, and that of the graph of titles, which it has not."""
    return LossConfig(
        graphs={
            "job": GraphLossConfig(alpha=1.0, loss_temperature=0.05),
            "sentence": GraphLossConfig(alpha=0.5, loss_temperature=0.02),
            "alternative": GraphLossConfig(alpha=0.5, loss_temperature=0.02),
            "title": GraphLossConfig(alpha=title, loss_temperature=0.05),
            # A model that is trained on activities is not zero-shot on them: only where it is asked for.
            "activity": GraphLossConfig(alpha=0.0),
        },
        interaction=InteractionConfig(interaction_temperature=interaction_temperature, query_reduction="mean"),
    )

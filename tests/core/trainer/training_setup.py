"""A tiny training run: graphs, configuration and a validation that needs no data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tests.core.gradients.test_gradient_cache import graphs
from uwe_core.batches.sampling import SamplingConfig
from uwe_core.gradients.objective import GraphLossConfig, LossConfig
from uwe_core.interaction import InteractionConfig
from uwe_core.model import CheckpointInfo, UweModel
from uwe_core.trainer.observer import Silent, StepReport, Validation, ValidationReport
from uwe_core.trainer.run_folder import RunFolder
from uwe_core.trainer.train_config import LoraSettings, TrainConfig
from uwe_core.trainer.trainer import Trainer

LORA = LoraSettings(rank=2, alpha=4)
LOSSES = {name: GraphLossConfig(loss_temperature=0.3) for name in ("job", "sentence", "title")}


def tiny_config(**changes: Any) -> TrainConfig:
    """Six steps with everything random switched on."""
    settings: dict[str, Any] = {
        "steps": 6,
        "peak_learning_rate": 1e-2,
        "dropout": 0.2,
        "precision": "float32",
        "evaluate_every": 4,
        "save_every": 1,
        "sampling": SamplingConfig(skills_per_batch=5, queries_per_batch=3),
        "loss": LossConfig(
            graphs=LOSSES,
            interaction=InteractionConfig(interaction_temperature=2.0, query_reduction="mean"),
            max_tokens_per_text=12,
        ),
    }
    return TrainConfig(**(settings | changes))


def judged(model: UweModel) -> Validation:
    """How far apart two texts are: any number that the weights decide."""
    encoder = model.encoder
    assert not encoder.backbone.training
    nurse, welder = (tokens.mean(dim=0) for tokens in encoder.encode(encoder.tokenise(["nurse", "welder"])))
    value = float((nurse - welder).norm())
    return Validation(value, {"map": value})


def tiny_model(base: Path) -> UweModel:
    """The base with the facts that checkpoints are to carry."""
    loaded = UweModel.from_pretrained(base, device="cpu")
    info = CheckpointInfo(
        interaction=InteractionConfig(interaction_temperature=2.0),
        base=str(base),
        training_data_fingerprint="graphs",
        seen_spaces=("tiny",),
    )
    return UweModel(loaded.encoder, info, str(base))


class Recorder(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[StepReport] = []
        self.validations: list[ValidationReport] = []

    def stepped(self, report: StepReport) -> None:
        self.steps.append(report)

    def validated(self, report: ValidationReport) -> None:
        self.validations.append(report)

    @property
    def losses(self) -> list[float]:
        return [report.loss for report in self.steps]


def tiny_trainer(
    base: Path, run: Path, config: TrainConfig | None = None, observer: Recorder | None = None, **others: Any
) -> Trainer:
    return Trainer(
        tiny_model(base), graphs(), config or tiny_config(), RunFolder(run), others.get("validate", judged), observer
    )


def embeddings(model: UweModel, texts: Sequence[str] = ("nurse", "weld the metal", "bake bread")) -> torch.Tensor:
    return model.encoder.encode(model.encoder.tokenise(list(texts))).embeddings.clone()


def weights_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.model.encoder.backbone.state_dict().items()}

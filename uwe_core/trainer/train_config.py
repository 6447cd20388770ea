"""TrainConfig: everything that decides a training run, beside the model and the graphs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from uwe_core.batches.sampling import SamplingConfig
from uwe_core.encoder import Precision
from uwe_core.gradients.gradient_cache import StepLimits
from uwe_core.gradients.objective import LossConfig


class LoraSettings(BaseModel):
    """Low-rank adapters beside every linear layer of the encoder, in place of its own weights.

    Attributes:
        rank: of the two factors.
        alpha: the product is scaled by alpha over rank.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=64, ge=1)
    alpha: int = Field(default=128, ge=1)

    @property
    def scale(self) -> float:
        """What the product of the factors is multiplied by."""
        return self.alpha / self.rank


class TrainConfig(BaseModel):
    """How a model is trained.

    Attributes:
        steps: updates; None: as many as give every edge of the largest graph one draw (paper, section 5).
        peak_learning_rate: see `schedule.py`.
        warmup_share: of all steps.
        weight_decay: of AdamW, on matrices alone: vectors are biases and norms.
        betas: of AdamW.
        epsilon: of AdamW.
        clip_norm: the longest gradient over all weights; None: any length.
        dropout: of every dropout layer that the encoder has.
        seed: of all that is drawn, not negative.
        precision: of the encoder's products; `auto` times one step in each. It takes the place of `limits.precision`.
        lora: None trains the encoder's own weights.
        freeze_embeddings: leave the embeddings, and their norm, as they are.
        freeze_lowest_layers: leave so many layers above the embeddings as they are.
        evaluate_every: steps between validations.
        save_every: steps between states to resume from; each validation saves one too.
        entropy_every: steps between measurements of the attention, see `attention_entropy.py`; the first is measured.
        patience: validations without a better one that end a run; None: never.
        sampling: how batches are drawn.
        loss: of a batch.
        limits: what bounds a step's memory.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int | None = Field(default=None, ge=1)
    peak_learning_rate: float = Field(default=8e-5, gt=0, allow_inf_nan=False)
    warmup_share: float = Field(default=0.1, ge=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(default=1e-8, gt=0)
    clip_norm: float | None = Field(default=1.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)
    precision: Literal["auto"] | Precision = "auto"
    lora: LoraSettings | None = None
    freeze_embeddings: bool = False
    freeze_lowest_layers: int = Field(default=0, ge=0)
    evaluate_every: int = Field(default=50, ge=1)
    save_every: int = Field(default=50, ge=1)
    entropy_every: int = Field(default=10, ge=1)
    patience: int | None = Field(default=None, ge=1)
    sampling: SamplingConfig = SamplingConfig()
    loss: LossConfig = LossConfig()
    limits: StepLimits = StepLimits()

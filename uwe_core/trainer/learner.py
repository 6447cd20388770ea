"""Learner: an encoder, the weights of it that are trained, and their optimiser; everything that a step changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uwe_core.encoder import Precision, TokenEncoder
from uwe_core.errors import ArtefactError
from uwe_core.gradients.chunked_encoding import RandomState
from uwe_core.gradients.gradient_cache import cached_step
from uwe_core.gradients.gradient_sum import GradientSum
from uwe_core.gradients.objective import BatchLoss
from uwe_core.gradients.prepared_batch import PreparedBatch
from uwe_core.ranks import Ranks
from uwe_core.trainer.guarded_adamw import GuardedAdamW
from uwe_core.trainer.train_config import TrainConfig
from uwe_core.trainer.trainable import make_trainable

_PARAMETER, _OPTIMISER, _RANDOM = "parameter.", "optimiser.", "random."


class StepNumbers(NamedTuple):
    """What a step measured: `StepReport` says what the numbers are."""

    loss: float
    gradient_norm: float
    losses: dict[str, float]
    entropies: dict[str, float]


@dataclass(frozen=True)
class StepOutcome:
    """What a step measured, on its way to the host: reading it waits, and a step later there is nothing to wait for.

    Attributes:
        names: of the terms of the loss.
        measured: those of them whose attention was measured.
        values: the loss, the gradient's length, each term, and each entropy.
        ready: when they have arrived; None where they never were elsewhere.
    """

    names: tuple[str, ...]
    measured: tuple[str, ...]
    values: Tensor
    ready: torch.cuda.Event | None

    @classmethod
    def on_its_way(cls, loss: BatchLoss, norm: Float[Tensor, ""]) -> StepOutcome:
        """Begin to copy the values to the host."""
        names, measured = tuple(loss.terms), tuple(loss.entropies)
        terms = (term.value for term in loss.terms.values())
        values = torch.stack([loss.total, norm, *terms, *loss.entropies.values()])
        if not values.is_cuda:
            return cls(names, measured, values, None)
        copied = values.to("cpu", non_blocking=True)
        ready = torch.cuda.Event()
        ready.record()
        return cls(names, measured, copied, ready)

    def read(self) -> StepNumbers:
        """The values, by name."""
        if self.ready is not None:
            self.ready.synchronize()
        loss, norm, *others = self.values.tolist()
        terms, entropies = others[: len(self.names)], others[len(self.names) :]
        losses = dict(zip(self.names, terms, strict=True))
        return StepNumbers(loss, norm, losses, dict(zip(self.measured, entropies, strict=True)))


class Learner:
    """Changes an encoder step by step.

    Args:
        encoder: its backbone is changed in place; everything drawn begins with the configuration's seed.
        config: how.
        ranks: that train together, each with a learner of the same arguments; None: this process is alone.

    Raises:
        ConfigurationError: the encoder cannot be trained so.
    """

    def __init__(self, encoder: TokenEncoder, config: TrainConfig, ranks: Ranks | None = None) -> None:
        torch.manual_seed(config.seed)
        self.encoder = encoder
        self.config = config
        self.parameters = make_trainable(encoder.backbone, config)
        self._optimiser = GuardedAdamW(self.parameters, config)
        self._ranks = ranks or Ranks()
        self._gradient_sum = GradientSum(self._ranks, self.parameters)

    @property
    def trained_weights(self) -> int:
        """How many numbers are trained."""
        return sum(weight.numel() for weight in self.parameters.values())

    def step(
        self, batch: PreparedBatch, learning_rate: float, precision: Precision, *, with_entropy: bool = False
    ) -> StepOutcome:
        """One update, which is not made where the loss or the gradient is not finite."""
        loss = self._add_gradients(batch, precision, with_entropy=with_entropy)
        norm = self._optimiser.update(learning_rate, loss.total, self.config.clip_norm)
        self.encoder.weights_changed()
        return StepOutcome.on_its_way(loss, norm)

    def trial(self, batch: PreparedBatch, precision: Precision) -> None:
        """The work of a step, of which nothing stays: neither a changed weight nor a drawn random number."""
        with RandomState.now(self.encoder.device).replayed(self.encoder.device):
            self._add_gradients(batch, precision)
        self.encoder.backbone.zero_grad()

    def _add_gradients(self, batch: PreparedBatch, precision: Precision, *, with_entropy: bool = False) -> BatchLoss:
        limits = self.config.limits.model_copy(update={"precision": precision})
        loss = cached_step(self.encoder, batch, self.config.loss, limits, self._ranks, with_entropy=with_entropy)
        return replace(loss, total=self._gradient_sum.add_up(loss.total))

    def tensors(self) -> dict[str, Tensor]:
        """Everything that later steps depend on, by name."""
        random = RandomState.now(self.encoder.device)
        states = {f"{_RANDOM}cpu": random.cpu} | ({} if random.gpu is None else {f"{_RANDOM}gpu": random.gpu})
        weights = {f"{_PARAMETER}{name}": weight.detach() for name, weight in self.parameters.items()}
        moments = {f"{_OPTIMISER}{name}": tensor for name, tensor in self._optimiser.moments().items()}
        return {**weights, **moments, **states}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `tensors` gave.

        Raises:
            ArtefactError: they are of another model.
        """
        weights = _with_prefix(tensors, _PARAMETER)
        shapes = {name: weight.shape for name, weight in self.parameters.items()}
        if {name: tensor.shape for name, tensor in weights.items()} != shapes:
            raise ArtefactError("the state's weights are not those that this configuration trains")
        with torch.no_grad():
            for name, weight in self.parameters.items():
                weight.copy_(weights[name])
        self.encoder.weights_changed()
        self._optimiser.load_moments(_with_prefix(tensors, _OPTIMISER))
        torch.set_rng_state(tensors[f"{_RANDOM}cpu"])
        # A run that began elsewhere has no random numbers of a GPU: those of the seed go on.
        if self.encoder.device.type == "cuda" and f"{_RANDOM}gpu" in tensors:
            torch.cuda.set_rng_state(tensors[f"{_RANDOM}gpu"], self.encoder.device)


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

"""AdamW that applies nothing from a gradient that is not finite, without asking the device whether it is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uwe_core.trainer.train_config import TrainConfig

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class GuardedAdamW(torch.optim.AdamW):
    """Weights and moments stay as they are where `found_inf` is 1: fused kernels read it on the device.

    Args:
        parameters: by name; matrices decay, vectors do not.
        config: the optimiser's numbers.
    """

    grad_scale: Tensor | None = None
    found_inf: Tensor | None = None

    def __init__(self, parameters: Mapping[str, nn.Parameter], config: TrainConfig) -> None:
        self.named = dict(parameters)
        matrices = [weight for weight in self.named.values() if weight.ndim >= 2]
        vectors = [weight for weight in self.named.values() if weight.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        super().__init__(
            [group for group in groups if group["params"]],
            lr=0.0, betas=config.betas, eps=config.epsilon, fused=True,
        )  # fmt: skip

    def update(self, learning_rate: float, loss: Float[Tensor, ""], clip_norm: float | None) -> Float[Tensor, ""]:
        """One update from the gradients that are there, which are then forgotten.

        Args:
            learning_rate: of this update.
            loss: its value; one that is not finite stops the update as a gradient does.
            clip_norm: longer gradients are shortened to it.

        Returns:
            The length of the gradient over all weights before that, on the device.
        """
        weights = [weight for weight in self.named.values() if weight.grad is not None]
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        if clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(weights, clip_norm, norm)
        for group in self.param_groups:
            group["lr"] = learning_rate
        self.found_inf = 1.0 - (norm.isfinite() & loss.isfinite()).to(torch.float32)
        self.step()
        self.zero_grad()
        return norm

    def moments(self) -> dict[str, Tensor]:
        """What it remembers of each parameter that it has updated, as `PARAMETER.MOMENT`."""
        return {
            f"{name}.{moment}": self.state[weight][moment]
            for name, weight in self.named.items()
            if weight in self.state
            for moment in _MOMENTS
        }

    def load_moments(self, moments: Mapping[str, Tensor]) -> None:
        """Remember what `moments` gave."""
        for name, weight in self.named.items():
            found = {moment: moments[f"{name}.{moment}"] for moment in _MOMENTS if f"{name}.{moment}" in moments}
            if found:
                self.state[weight] = {moment: tensor.to(weight.device, copy=True) for moment, tensor in found.items()}

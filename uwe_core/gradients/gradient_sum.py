"""GradientSum: the gradients of the weights, added up over ranks in one exchange."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from uwe_core.ranks import Ranks


class GradientSum:
    """Adds gradients up over ranks; with one rank it does nothing.

    Args:
        ranks: all of them have the same weights.
        parameters: the weights that are trained.
    """

    def __init__(self, ranks: Ranks, parameters: Mapping[str, nn.Parameter]) -> None:
        self._ranks = ranks
        self._parameters = list(parameters.values())
        self._used: list[nn.Parameter] | None = None

    def add_up(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Put the sum over ranks in the place of each gradient.

        Args:
            loss: as this rank has computed it.

        Returns:
            The mean loss of all ranks, which differ by rounding: where it is not finite, no rank makes its update.
        """
        if self._ranks.is_alone:
            return loss
        used = self._used_weights()
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in used]
        parts = [*(gradient.flatten() for gradient in gradients), (loss / self._ranks.size).reshape(1)]
        summed = torch.cat(parts)
        dist.all_reduce(summed)
        *sums, mean = summed.split([len(part) for part in parts])
        for weight, gradient in zip(used, sums, strict=True):
            weight.grad = gradient.view_as(weight).to(weight.dtype)
        agreed: Tensor = mean.reshape(()).to(loss.dtype)
        return agreed

    def _used_weights(self) -> list[nn.Parameter]:
        """Those that have a gradient on some rank, asked once: the same in every step, but a rank may have no chunk.

        The others must stay without one, or weight decay would shrink them.
        """
        if self._used is None:
            flags = torch.tensor([weight.grad is not None for weight in self._parameters], dtype=torch.int32)
            # Where the group has no way for tensors of the CPU, they go over the device.
            flags = flags.to(self._parameters[0].device)
            dist.all_reduce(flags, op=dist.ReduceOp.MAX)
            self._used = [weight for weight, flag in zip(self._parameters, flags.tolist(), strict=True) if flag]
        return self._used

"""SavedBytes: how much memory a graph of computation holds on to."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class SavedBytes(torch.autograd.graph.saved_tensors_hooks):
    """A context that counts what is saved inside it for the gradient; what several operations save counts once.

    Args:
        weights: they are there anyway, and do not count.

    Attributes:
        total: bytes so far.
    """

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__(self._count, lambda tensor: tensor)
        self.total = 0
        # What has been saved stays alive, so its address is its own.
        self._counted = {weight.untyped_storage().data_ptr() for weight in weights}

    def _count(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._counted:
            self._counted.add(storage.data_ptr())
            self.total += storage.nbytes()
        return tensor

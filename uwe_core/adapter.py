"""Low-rank adapters: a small file that changes the linear layers of a base, merged at load so that it costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from uwe_core.errors import ArtefactError

ADAPTER_FILE = "adapter.safetensors"
# By the name of a linear layer, `a` `[rank, in]` and `b` `[out, rank]`: the layer's change is `b @ a`.
Factors: TypeAlias = Mapping[str, tuple[Tensor, Tensor]]


def merge_adapter(backbone: nn.Module, path: Path, scale: float) -> None:
    """Add `scale * b @ a` to the weight of every linear layer that the file names.

    Args:
        backbone: changed in place.
        path: see `load_adapter`.
        scale: of the whole adapter; 0 is the base itself.

    Raises:
        ArtefactError: the file cannot be read, or does not fit the model; nothing is changed then.
    """
    merge_factors(backbone, load_adapter(path), scale, str(path))


def load_adapter(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """The factors of a file with tensors `LAYER.a` `[rank, in]` and `LAYER.b` `[out, rank]`, as they are stored.

    Raises:
        ArtefactError: the file cannot be read, holds nothing, or half of a layer.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtefactError(f"{path} cannot be read: {error}") from error
    factors = {}
    for name in sorted({name.rpartition(".")[0] for name in tensors}):
        down, up = tensors.get(f"{name}.a"), tensors.get(f"{name}.b")
        if down is None or up is None:
            raise ArtefactError(f"{path} has half of the layer '{name}'")
        if down.ndim != 2 or up.ndim != 2 or up.shape[1] != down.shape[0]:
            raise ArtefactError(f"{path}: layer '{name}' is not {tuple(up.shape)} @ {tuple(down.shape)}")
        factors[name] = (down, up)
    if not factors:
        raise ArtefactError(f"{path} changes no layer")
    return factors


def merge_factors(backbone: nn.Module, factors: Factors, scale: float, origin: str) -> None:
    """Add `scale * b @ a` to the weight of every linear layer of that name.

    Args:
        backbone: changed in place.
        factors: of the adapter.
        scale: of the whole adapter.
        origin: whose factors they are, for messages.

    Raises:
        ArtefactError: a layer is not there or has another shape; nothing is changed then.
    """
    layers = {name: module for name, module in backbone.named_modules() if isinstance(module, nn.Linear)}
    for name, (down, up) in factors.items():
        if name not in layers:
            raise ArtefactError(f"{origin} changes a layer '{name}', which the model has not")
        shape = layers[name].weight.shape
        if (up.shape[0], down.shape[1]) != shape:
            raise ArtefactError(
                f"{origin}: layer '{name}' is {tuple(shape)}, not {tuple(up.shape)} @ {tuple(down.shape)}"
            )
    with torch.no_grad():
        for name, (down, up) in factors.items():
            weight = layers[name].weight
            weight += scale * (up.float() @ down.float()).to(weight.device, weight.dtype)


def save_adapter(factors: Factors, path: Path) -> None:
    """Write the file that `merge_adapter` reads."""
    tensors = {
        f"{name}.{letter}": factor.detach().cpu().contiguous()
        for name, pair in factors.items()
        for letter, factor in zip("ab", pair, strict=True)
    }
    save_file(tensors, path)

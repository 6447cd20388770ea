"""Low-rank adapters: a small file that changes the linear layers of a base, merged at load so that it costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from uwe_core.errors import ArtefactError

ADAPTER_FILE = "adapter.safetensors"


def merge_adapter(backbone: nn.Module, path: Path, scale: float) -> None:
    """Add `scale * b @ a` to the weight of every linear layer that the file names.

    Args:
        backbone: changed in place.
        path: tensors `LAYER.a` `[rank, in]` and `LAYER.b` `[out, rank]`; LAYER is the name of a linear layer.
        scale: of the whole adapter; 0 is the base itself.

    Raises:
        ArtefactError: the file cannot be read, or does not fit the model; nothing is changed then.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtefactError(f"{path} cannot be read: {error}") from error
    names = sorted({name.rpartition(".")[0] for name in tensors})
    layers = {name: module for name, module in backbone.named_modules() if isinstance(module, nn.Linear)}
    changes = {}
    for name in names:
        down, up = tensors.get(f"{name}.a"), tensors.get(f"{name}.b")
        if name not in layers:
            raise ArtefactError(f"{path} changes a layer '{name}', which the model has not")
        if down is None or up is None:
            raise ArtefactError(f"{path} has half of the layer '{name}'")
        shape = layers[name].weight.shape
        if (up.shape[0], down.shape[1]) != shape or up.shape[1] != down.shape[0]:
            raise ArtefactError(
                f"{path}: layer '{name}' is {tuple(shape)}, not {tuple(up.shape)} @ {tuple(down.shape)}"
            )
        changes[name] = up.float() @ down.float()
    if not changes:
        raise ArtefactError(f"{path} changes no layer")
    with torch.no_grad():
        for name, change in changes.items():
            weight = layers[name].weight
            weight += scale * change.to(weight.device, weight.dtype)


def save_adapter(factors: Mapping[str, tuple[Tensor, Tensor]], path: Path) -> None:
    """Write the file that `merge_adapter` reads.

    Args:
        factors: by the name of a linear layer, `a` `[rank, in]` and `b` `[out, rank]`.
        path: of the file.
    """
    tensors = {
        f"{name}.{letter}": factor.detach().cpu().contiguous()
        for name, pair in factors.items()
        for letter, factor in zip("ab", pair, strict=True)
    }
    save_file(tensors, path)

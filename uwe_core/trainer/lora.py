"""Low-rank adapters in training: put into an encoder, and read from it in the project's own format."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn

from uwe_core.errors import ConfigurationError
from uwe_core.trainer.train_config import LoraSettings

_ADAPTER = "default"


def inject_lora(backbone: nn.Module, settings: LoraSettings, frozen: Collection[nn.Module] = ()) -> None:
    """Put an adapter beside every linear layer and freeze all other weights; the output is unchanged at first.

    Args:
        backbone: changed in place; its first factors come from torch's random numbers.
        settings: of every adapter.
        frozen: modules whose linear layers get none.

    Raises:
        ConfigurationError: the package that has them is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415 - seconds to import, needed here alone
    except ImportError as error:
        raise ConfigurationError("adapters need peft: pip install 'unified-work-embeddings[train]'") from error
    left_alone = {id(layer) for module in frozen for layer in module.modules()}
    names = [
        name for name, layer in backbone.named_modules() if isinstance(layer, nn.Linear) and id(layer) not in left_alone
    ]
    # A list of names matches by their ends: a pattern takes whole names alone.
    pattern = "|".join(name.replace(".", r"\.") for name in names)
    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=f"({pattern})")
    inject_adapter_in_model(config, backbone, adapter_name=_ADAPTER)


def lora_factors(backbone: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Of each adapted layer, by the name that it has without adapters, the factors `[rank, in]` and `[out, rank]`."""
    factors = {}
    for name, layer in backbone.named_modules():
        if hasattr(layer, "lora_A") and _ADAPTER in layer.lora_A:
            down, up = layer.lora_A[_ADAPTER].weight, layer.lora_B[_ADAPTER].weight
            factors[name] = (down.detach(), up.detach())
    return factors

"""Which weights of an encoder are trained, and how much dropout there is."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from uwe_core.errors import ConfigurationError
from uwe_core.trainer.lora import inject_lora
from uwe_core.trainer.train_config import TrainConfig


def make_trainable(backbone: PreTrainedModel, config: TrainConfig) -> dict[str, nn.Parameter]:
    """Freeze, adapt and set dropout as configured; the parameters that are left to train, by name.

    Args:
        backbone: changed in place, and put into training mode.
        config: adapters draw their first factors from torch's random numbers.

    Raises:
        ConfigurationError: more layers are to be frozen than there are, or nothing is left to train.
    """
    frozen = _frozen(backbone, config)
    backbone.requires_grad_(True)
    if config.lora is not None:
        inject_lora(backbone, config.lora, frozen)
    for module in frozen:
        module.requires_grad_(False)
    _set_dropout(backbone, config.dropout)
    backbone.train()
    parameters = {name: weight for name, weight in backbone.named_parameters() if weight.requires_grad}
    if not parameters:
        raise ConfigurationError("every weight is frozen: nothing is left to train")
    return parameters


def _frozen(backbone: PreTrainedModel, config: TrainConfig) -> list[nn.Module]:
    layers = _layers(backbone)
    if config.freeze_lowest_layers > len(layers) or (config.lora and config.freeze_lowest_layers == len(layers)):
        raise ConfigurationError(f"{config.freeze_lowest_layers} layers cannot be frozen: there are {len(layers)}")
    embeddings = [backbone.get_submodule("embeddings")] if config.freeze_embeddings else []
    return [*embeddings, *layers[: config.freeze_lowest_layers]]


def _layers(backbone: PreTrainedModel) -> list[nn.Module]:
    """The encoder's layers, lowest first, wherever its family keeps them."""
    count = int(backbone.config.num_hidden_layers)
    for module in backbone.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return list(module)
    return []


def _set_dropout(backbone: PreTrainedModel, dropout: float) -> None:
    for module in backbone.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
        elif isinstance(getattr(module, "attention_dropout", None), float):
            vars(module)["attention_dropout"] = dropout  # a number in some families, not a layer

"""RunConfig: one whole configuration of a training run, and how single values of it are replaced."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from training.trials import TrialConfig
from training.validation import ValidationConfig
from uwe_core.errors import ConfigurationError
from uwe_core.interaction import InteractionConfig
from uwe_core.trainer.train_config import TrainConfig


class RunConfig(BaseModel):
    """What is trained, how, and how it is judged on the way.

    Attributes:
        model: that training begins with: a built-in name, a folder, or a hub id.
        interaction: the score that the trained model ranks with; None: the one it had.
        train: the training.
        validation: of it.
        trials: short runs before it, which choose the query reduction of its loss; None: it is trained as it stands.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "embedded-base"
    interaction: InteractionConfig | None = None
    train: TrainConfig = TrainConfig()
    validation: ValidationConfig = ValidationConfig()
    trials: TrialConfig | None = None


def overridden(config: RunConfig, settings: Sequence[str]) -> RunConfig:
    """A configuration with some values replaced.

    Args:
        config: the one.
        settings: `key.sub=value`; a value is one of TOML, a bare word as text, or `none`.

    Raises:
        ConfigurationError: a setting is no such thing, no value of that name exists, or it cannot be that.
    """
    values = config.model_dump()
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigurationError(f"'{setting}' is not of the form key.sub=value")
        _replace(values, key.strip().split("."), _parsed(value.strip()))
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        raise ConfigurationError(f"the configuration cannot be: {'; '.join(problems)}") from error


def _replace(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *parents, last = path
    for name in parents:
        if values.get(name) is None:  # what is switched off, such as LoRA, is switched on by a value of its own
            values[name] = {}
        values = values[name]
        if not isinstance(values, dict):
            raise ConfigurationError(f"'{'.'.join(path)}': {name} is one value and has none inside")
    values[last] = value


def _parsed(value: str) -> Any:
    if value == "none":
        return None
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        if value[:1] in {'"', "'", "[", "{"}:
            raise ConfigurationError(f"{value} is not a value of TOML") from None
        return value

"""Choose an adapter's strength and interaction on validation, and write the adapter so chosen."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field

from training.validation import validate, validate_interactions
from training.workbench.dataset import RankingDataset
from uwe_core.adapter import ADAPTER_FILE, Factors, load_adapter, merge_factors, save_adapter
from uwe_core.adapter_average import average_factors, largest_rank, truncate_factors
from uwe_core.errors import ConfigurationError, DataError, InputError
from uwe_core.files import atomic_folder
from uwe_core.interaction import InteractionConfig
from uwe_core.model import CHECKPOINT_FILE, UNMEASURED, CheckpointInfo, UweModel, read_checkpoint_info
from uwe_core.trainer.observer import Validation

CARD_FILE = "README.md"


class TuneConfig(BaseModel):
    """What is tried.

    Attributes:
        strengths: shares of the adapter's own scale; 0 is the base.
        temperature_factors: of the model's own interaction temperature, at the best strength.
        interactions: others than the model's own, likewise.
        most_loss: MAP, in points, that storing the adapter in half precision may change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    strengths: tuple[float, ...] = Field(default=(0.0, 0.25, 0.5, 0.75, 1.0), min_length=1)
    temperature_factors: tuple[float, ...] = Field(default=(0.25, 0.5, 1.0, 2.0, 4.0), min_length=1)
    interactions: tuple[InteractionConfig, ...] = ()
    most_loss: float = Field(default=0.1, ge=0)


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory: the factors of its file, and the facts beside it.

    Attributes:
        base: name of the encoder that it changes.
        folder: where its model card would be; None for an average, which has none.
    """

    factors: Factors
    info: CheckpointInfo
    base: str
    folder: Path | None

    def model(self, device: str, scale: float | None = None) -> UweModel:
        """The base with the adapter merged at a scale (its own where None).

        Raises:
            ArtefactError: the adapter does not fit its base.
        """
        loaded = UweModel.from_pretrained(self.base, device=device)
        merge_factors(
            loaded.encoder.backbone, self.factors, self.info.adapter_scale if scale is None else scale, "the adapter"
        )
        return UweModel(loaded.encoder, self.info, "tuned")


@dataclass(frozen=True)
class Trial:
    """One setting and how it did on validation."""

    strength: float
    interaction: InteractionConfig
    validation: Validation


@dataclass(frozen=True)
class Tuned:
    """The adapter with what was chosen in its facts, the best trial, and all trials in the order made.

    Attributes:
        half_precision: whether the factors are stored so.
        stored: the figures of the adapter as it is stored.
    """

    adapter: Adapter
    best: Trial
    trials: list[Trial]
    half_precision: bool
    stored: Validation


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter folder.

    Raises:
        InputError: the folder holds no adapter.
        ArtefactError: a file of it is broken.
        ConfigurationError: it names no base.
    """
    info = read_checkpoint_info(folder)
    if info is None or not (folder / ADAPTER_FILE).is_file():
        raise InputError(f"{folder} is no adapter: it lacks {ADAPTER_FILE} or {CHECKPOINT_FILE}")
    if info.base is None:
        raise ConfigurationError(f"{folder} holds an adapter, and {CHECKPOINT_FILE} names no base for it")
    return Adapter(load_adapter(folder / ADAPTER_FILE), info, info.base, folder)


def average_adapters(adapters: Sequence[Adapter], rank: int | None = None) -> tuple[Adapter, float]:
    """One adapter whose change is the mean of theirs, each at its own scale, brought back to a rank.

    Args:
        adapters: of one base and one interaction.
        rank: the largest of theirs where None.

    Returns:
        The average, with scale 1, and the largest share of a layer's squared norm that the rank cost.

    Raises:
        InputError: their bases or interactions differ.
    """
    first = adapters[0]
    for other in adapters[1:]:
        if (other.base, other.info.interaction) != (first.base, first.info.interaction):
            raise InputError(f"only adapters of one base and interaction are averaged: {first.folder}, {other.folder}")
    averaged = average_factors([one.factors for one in adapters], [one.info.adapter_scale for one in adapters])
    factors, lost = truncate_factors(averaged, rank or max(largest_rank(one.factors) for one in adapters))
    seen = sorted({space for one in adapters for space in one.info.seen_spaces})
    fingerprints = {one.info.training_data_fingerprint for one in adapters}
    info = first.info.model_copy(
        update={
            "adapter_scale": 1.0,
            **UNMEASURED,
            "seen_spaces": tuple(seen),
            "training_data_fingerprint": fingerprints.pop() if len(fingerprints) == 1 else None,
        }
    )
    return Adapter(factors, info, first.base, None), lost


def tune(
    adapter: Adapter,
    datasets: Sequence[RankingDataset],
    config: TuneConfig,
    device: str,
    tried: Callable[[Trial], None],
) -> Tuned:
    """Try strengths, then temperatures and interactions at the best of them; the first of equal ones wins.

    Args:
        adapter: to be tuned; its own scale is strength 1.
        datasets: that may choose: `training.validation.validation_datasets`.
        config: what is tried.
        device: to encode on.
        tried: told of each trial as it ends.
    """
    trials: list[Trial] = []

    def keep(trial: Trial) -> None:
        trials.append(trial)
        tried(trial)

    own = adapter.info.interaction
    for strength in config.strengths:
        model = adapter.model(device, strength * adapter.info.adapter_scale)
        keep(Trial(strength, own, validate(model, datasets)))
    strength = _best(trials).strength
    others = [*_other_temperatures(own, config), *config.interactions]
    if others:
        model = adapter.model(device, strength * adapter.info.adapter_scale)
        for interaction, validation in zip(others, validate_interactions(model, others, datasets), strict=True):
            keep(Trial(strength, interaction, validation))
    best = _best(trials)
    return _stored(adapter, best, trials, datasets, config, device)


def write_adapter(tuned: Tuned, folder: Path) -> None:
    """Write the adapter folder, with the model card of the one it was made of; all or nothing.

    Raises:
        DataError: `folder` is there already.
    """
    refuse_existing(folder)
    adapter = tuned.adapter
    with atomic_folder(folder) as aside:
        save_adapter(adapter.factors, aside / ADAPTER_FILE)
        (aside / CHECKPOINT_FILE).write_text(adapter.info.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if adapter.folder is not None and (adapter.folder / CARD_FILE).is_file():
            shutil.copyfile(adapter.folder / CARD_FILE, aside / CARD_FILE)


def refuse_existing(folder: Path) -> None:
    """Raises DataError where the folder is there already, before hours went into what would replace it."""
    if folder.exists():
        raise DataError(folder, None, "is there already")


def _best(trials: Sequence[Trial]) -> Trial:
    return max(trials, key=lambda trial: trial.validation.average)


def _other_temperatures(own: InteractionConfig, config: TuneConfig) -> list[InteractionConfig]:
    if not own.has_temperature:
        return []
    return [
        own.model_copy(update={"interaction_temperature": factor * own.interaction_temperature})
        for factor in config.temperature_factors
        if factor != 1.0  # tried with the strengths
    ]


def _stored(
    adapter: Adapter,
    best: Trial,
    trials: list[Trial],
    datasets: Sequence[RankingDataset],
    config: TuneConfig,
    device: str,
) -> Tuned:
    """The chosen adapter in half precision where that changes next to nothing, which is measured."""
    info = adapter.info.model_copy(
        update={
            "interaction": best.interaction,
            "adapter_scale": best.strength * adapter.info.adapter_scale,
            "metrics": dict(best.validation.metrics),
            **UNMEASURED,
        }
    )
    whole = replace(adapter, info=info)
    if all(factor.dtype == torch.float16 for pair in adapter.factors.values() for factor in pair):
        return Tuned(whole, best, trials, True, best.validation)
    halves = replace(whole, factors={name: (down.half(), up.half()) for name, (down, up) in adapter.factors.items()})
    if not all(bool(factor.isfinite().all()) for pair in halves.factors.values() for factor in pair):
        return Tuned(whole, best, trials, False, best.validation)
    validation = validate(halves.model(device), datasets)
    if abs(validation.average - best.validation.average) >= config.most_loss:
        return Tuned(whole, best, trials, False, best.validation)
    stored = replace(halves, info=info.model_copy(update={"metrics": dict(validation.metrics)}))
    return Tuned(stored, best, trials, True, validation)

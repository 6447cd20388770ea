"""Cells: a variant trained with one seed; finished ones are kept as small files, so that they are not done again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from training.ablations.variants import Variant
from training.run_config import RunConfig
from uwe_core.encoder import Precision
from uwe_core.facts import read_facts
from uwe_core.files import write_text

CELL_FORMAT = 1
CELLS_FOLDER = "cells"
AVERAGE_MAP = "average/map"


@dataclass(frozen=True)
class Cell:
    """A variant and a seed.

    Attributes:
        variant: its training.
        seed: of all that is drawn.
        inputs: fingerprints of the graphs, the encoder and the validation sets.
    """

    variant: Variant
    seed: int
    inputs: tuple[str, ...]

    @property
    def run(self) -> RunConfig:
        """The whole configuration."""
        train = self.variant.run.train.model_copy(update={"seed": self.seed})
        return self.variant.run.model_copy(update={"train": train})

    @property
    def fingerprint(self) -> str:
        """Content hash of everything that decides the result, but for the machine."""
        content = json.dumps([CELL_FORMAT, self.run.model_dump(mode="json"), self.inputs], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def short_fingerprint(self) -> str:
        """As much of it as file names have."""
        return self.fingerprint[:12]

    @property
    def name(self) -> str:
        """Of its files: for people, and different where the fingerprint is."""
        return f"{self.variant.name}-seed{self.seed}-{self.short_fingerprint}"


class CellResult(BaseModel):
    """A finished cell.

    Attributes:
        variant: its name.
        seed: its seed.
        fingerprint: of the cell.
        steps: updates made.
        precision: of the encoder's products in training.
        machine: it was trained on.
        seconds: of training and validating.
        base: figures before the first step, in percent, by data set and metric.
        metrics: after the last one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = CELL_FORMAT
    variant: str
    seed: int
    fingerprint: str
    steps: int
    precision: Precision
    machine: str
    seconds: float
    base: dict[str, float]
    metrics: dict[str, float]


@dataclass(frozen=True)
class CellStore:
    """The results of an output folder, a file each; each file is whole or not there."""

    root: Path

    def get(self, cell: Cell) -> CellResult | None:
        """The result of a cell of that very fingerprint, or None; another ablation may call its variant otherwise.

        Raises:
            ArtefactError: the file cannot be read.
        """
        for path in sorted((self.root / CELLS_FOLDER).glob(f"*-{cell.short_fingerprint}.json")):
            found = read_facts(path, CellResult, CELL_FORMAT)
            if found.fingerprint == cell.fingerprint:
                return found.model_copy(update={"variant": cell.variant.name})
        return None

    def put(self, cell: Cell, result: CellResult) -> None:
        """Keep a result."""
        write_text(self._path(cell), result.model_dump_json(indent=1) + "\n")

    def precision(self) -> Precision | None:
        """That of the cells that are here, whatever their configuration; None where there are none."""
        for path in sorted((self.root / CELLS_FOLDER).glob("*.json")):
            return read_facts(path, CellResult, CELL_FORMAT).precision
        return None

    def _path(self, cell: Cell) -> Path:
        return self.root / CELLS_FOLDER / f"{cell.name}.json"


def cells_of(variants: Sequence[Variant], seeds: int, inputs_of: Callable[[Variant], tuple[str, ...]]) -> list[Cell]:
    """All cells, seed by seed, so that what is stopped early has as many runs of each variant."""
    return [Cell(variant, seed, inputs_of(variant)) for seed in range(seeds) for variant in variants]

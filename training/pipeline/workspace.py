"""Workspace: the folder in which a build keeps its stages and, while they run, their parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeAlias

from training.folder_lock import locked_folder
from training.pipeline.parts import OperatorFactory, Runner, remove_parts, run_parts
from training.pipeline.stage import StageManifest, code_of, run_stage, stage_fingerprint
from training.terminal import progress_bar

_PARTS = ".parts"
_INDEXES = ".indexes"


class PartSpecification(Protocol):
    """Work that falls into parts."""

    @property
    def sizes(self) -> list[int]:
        """The rows of each part."""

    def factory(self) -> OperatorFactory:
        """Makes the operator that computes one."""


# Runs the parts of the stage at hand and gives their files; those of a killed run are not computed again.
RunParts: TypeAlias = Callable[[PartSpecification], list[Path]]
Work: TypeAlias = Callable[[Path, RunParts], Mapping[str, int]]
# Called with the folder, the manifest, and whether a finished stage was reused.
Tell: TypeAlias = Callable[[Path, StageManifest, bool], None]


@dataclass
class Workspace:
    """Stages by name, each fingerprinted by its own inputs and by the stages that it reads.

    Attributes:
        root: the folder.
        runner: where parts are computed.
        tell: told of every stage that is finished or reused.
        manifests: of the stages done so far, in order.
    """

    root: Path
    runner: Runner
    tell: Tell
    manifests: dict[str, StageManifest] = field(default_factory=dict)

    @property
    def indexes(self) -> Path:
        """Where token indexes of the skills are kept."""
        return self.root / _INDEXES

    def stage(self, name: str, code: Sequence[ModuleType], inputs: Any, reads: Sequence[str], work: Work) -> Path:
        """Run a stage, or find it finished.

        Args:
            name: of the stage and its folder.
            code: the modules that decide what it writes.
            inputs: settings and hashes; anything that JSON can hold.
            reads: stages that ran before.
            work: writes the stage's files into the folder it is given and returns its counts.
        """
        read = [self.manifests[stage].fingerprint for stage in reads if stage in self.manifests]
        fingerprint = stage_fingerprint(name, code_of(*code), {"inputs": inputs, "reads": read})
        parts = self.root / _PARTS / f"{name}-{fingerprint[:16]}"

        def run(specification: PartSpecification) -> list[Path]:
            with progress_bar(name) as bar:
                return run_parts(parts, specification.sizes, specification.factory(), self.runner, bar.update)

        folder = self.root / name
        manifest, reused = run_stage(folder, name, fingerprint, lambda aside: work(aside, run))
        remove_parts(parts)
        self.add(folder, manifest, reused)
        return folder

    def add(self, folder: Path, manifest: StageManifest, reused: bool) -> None:
        """Take in a stage that was run elsewhere."""
        self.manifests[manifest.stage] = manifest
        self.tell(folder, manifest, reused)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other builds out, and sweep away what killed ones left half written.

        Raises:
            ConfigurationError: another build is at work in this folder, or it cannot be made.
        """
        with locked_folder(self.root, "build"):
            for left in [*self.root.glob(".*.part"), *self.root.glob(".*.old")]:
                shutil.rmtree(left, ignore_errors=True)
            yield

"""A stage: a folder that is whole or not there, with a manifest that says of what and by what it was made."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict

from uwe_core.errors import ChecksumError
from uwe_core.facts import read_facts
from uwe_core.files import atomic_folder, sha256_of

STAGE_FORMAT = 1
MANIFEST_FILE = "manifest.json"


class StageManifest(BaseModel):
    """`manifest.json` of a finished stage.

    Attributes:
        fingerprint: content hash of the stage's inputs, settings and code version; equal ones give equal outputs.
        counts: what came in, was kept, and was dropped by reason.
        checksums: SHA-256 by file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = STAGE_FORMAT
    stage: str
    fingerprint: str
    counts: dict[str, int]
    checksums: dict[str, str]


def stage_fingerprint(stage: str, code: str, inputs: Mapping[str, Any]) -> str:
    """Content hash of what decides a stage's output.

    Args:
        stage: its name.
        code: see `code_of`.
        inputs: settings, and hashes of what is read; anything that JSON can hold.
    """
    return hashlib.sha256(json.dumps([stage, code, inputs], sort_keys=True).encode()).hexdigest()


def code_of(*modules: ModuleType | str) -> str:
    """Content hash of the source of some modules: a stage whose code has changed is done again."""
    digest = hashlib.sha256()
    for module in modules:
        source = inspect.getsource(sys.modules[module] if isinstance(module, str) else module)
        digest.update(source.encode())
    return digest.hexdigest()


def run_stage(
    folder: Path, stage: str, fingerprint: str, work: Callable[[Path], Mapping[str, int]]
) -> tuple[StageManifest, bool]:
    """The finished stage in `folder`, or the work done now.

    A killed run leaves what stood there before; a folder made from other inputs is replaced.

    Args:
        folder: of the stage.
        stage: its name.
        fingerprint: see `stage_fingerprint`.
        work: writes the stage's files into the folder it is given and returns its counts.

    Returns:
        The manifest, and whether a finished stage was reused.
    """
    finished = read_manifest(folder)
    if finished is not None and finished.fingerprint == fingerprint:
        verify(folder, finished)
        return finished, True
    with atomic_folder(folder) as aside:
        counts = dict(work(aside))
        files = sorted(path for path in aside.rglob("*") if path.is_file())
        checksums = {str(path.relative_to(aside)): sha256_of(path) for path in files}
        manifest = StageManifest(stage=stage, fingerprint=fingerprint, counts=counts, checksums=checksums)
        (aside / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest, False


def read_manifest(folder: Path) -> StageManifest | None:
    """The manifest of a finished stage, or None where there is none.

    Raises:
        FormatVersionError: written by another version of the format.
        ArtefactError: the file cannot be read.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return None
    return read_facts(path, StageManifest, STAGE_FORMAT)


def verify(folder: Path, manifest: StageManifest) -> None:
    """Refuse files that are not the ones that were written.

    Raises:
        ChecksumError: naming the file.
    """
    for name, expected in manifest.checksums.items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != expected:
            raise ChecksumError(f"{path} is not the file that the stage wrote: remove the folder to build it again")

"""RunRecord: what a run is, in `run.json` of its folder."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from training.run_config import RunConfig
from uwe_core.facts import read_facts

RUN_FORMAT = 1
RUN_FILE = "run.json"
_PACKAGES = ("unified-work-embeddings", "torch", "transformers", "tokenizers", "peft", "numpy")


class RunRecord(BaseModel):
    """`run.json`: what a run is, enough to resume it without saying anything again.

    Attributes:
        graphs: the folder of the graphs.
        graphs_fingerprint: of their manifest.
        data: `sample`, or the folder of evaluation data.
        config: resolved, with every default.
        recipe: whose configuration it is, but for single values; None: of no recipe.
        machine: processor or GPU of the first process.
        versions: of what it ran with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = RUN_FORMAT
    graphs: str
    graphs_fingerprint: str
    data: str
    config: RunConfig
    recipe: str | None = None
    machine: str = ""
    versions: dict[str, str]


def read_run(folder: Path) -> RunRecord | None:
    """The record of a run folder, or None where there is none.

    Raises:
        ArtefactError: it cannot be read.
    """
    path = folder / RUN_FILE
    return read_facts(path, RunRecord, RUN_FORMAT) if path.is_file() else None


def installed_versions() -> dict[str, str]:
    """Of Python and the packages that decide what a training run computes."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"

"""Train: from a folder of graphs and a configuration to a run folder with checkpoints, logs and a plot."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from training.build_graphs import leak_check
from training.evaluate import SAMPLE
from training.folder_lock import locked_folder
from training.pipeline.stage import MANIFEST_FILE
from training.run_config import RunConfig
from training.run_log import (
    METRICS_FILE,
    TENSORBOARD_FOLDER,
    MetricsLog,
    Observers,
    TerminalLog,
    read_log,
    tensorboard_logs,
)
from training.run_plots import PLOT_FILE, save_curves
from training.terminal import progress_bar
from training.validation import validate, validation_datasets
from training.workbench.tasks import SKILLS
from uwe_core.adapter import ADAPTER_FILE
from uwe_core.errors import ConfigurationError
from uwe_core.facts import read_facts
from uwe_core.files import sha256_of, write_text
from uwe_core.graph import BipartiteGraph, read_graphs
from uwe_core.model import CheckpointInfo, UweModel
from uwe_core.ranks import Ranks
from uwe_core.sample import sample_skills
from uwe_core.trainer.observer import Observer, Silent
from uwe_core.trainer.run_folder import RunFolder
from uwe_core.trainer.trainer import Trainer, TrainResult

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
        versions: of what it ran with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = RUN_FORMAT
    graphs: str
    graphs_fingerprint: str
    data: str
    config: RunConfig
    versions: dict[str, str]


@dataclass(frozen=True)
class TrainRequest:
    """What a command asks for.

    Attributes:
        graphs: the folder of the graphs.
        data: `sample`, or a folder of evaluation data, whose test texts may not be trained on.
        config: of the run.
        out: the run folder.
        device: `auto`, `cpu`, `cuda` or `cuda:n`.
        resume: go on from the run folder's state, where it has one.
        max_minutes: for everything.
    """

    graphs: Path
    data: str
    config: RunConfig
    out: Path
    device: str = "auto"
    resume: bool = False
    max_minutes: float | None = None


def train(request: TrainRequest, should_stop: Callable[[], bool] = lambda: False) -> TrainResult:
    """Train a model; the leak check comes before anything else.

    Where a process group is there (`process_group.py`), every process of it calls this, and the first alone writes.

    Raises:
        LeakError: a test text is in the graphs.
        UweError: see `Trainer`.
    """
    start = time.perf_counter()
    ranks = Ranks.here()
    _refuse_another_run(request)
    ranks.wait()  # all have looked before the first writes
    graphs = read_graphs(request.graphs)
    if request.data == SAMPLE:
        refuse_foreign_skills(graphs.values())
    leak_check(request.data).refuse(graphs.values())
    datasets = validation_datasets(request.graphs, request.data, request.config.validation)
    fingerprint = graphs_fingerprint(request.graphs)
    model = base_model(request.config, request.data, fingerprint, request.device)
    with _observer(request.out, ranks) as observer:
        judge = partial(validate, datasets=datasets)
        trainer = Trainer(model, list(graphs.values()), request.config.train, RunFolder(request.out), judge, observer)
        if ranks.is_first:
            write_text(request.out / RUN_FILE, _record(request, fingerprint).model_dump_json(indent=1) + "\n")
        seconds = None if request.max_minutes is None else 60.0 * request.max_minutes - (time.perf_counter() - start)
        result = trainer.run(resume=request.resume, max_seconds=seconds, should_stop=should_stop)
    if ranks.is_first:
        save_curves(read_log(request.out / METRICS_FILE), request.out / PLOT_FILE)
    return result


def read_run(folder: Path) -> RunRecord | None:
    """The record of a run folder, or None where there is none.

    Raises:
        ArtefactError: it cannot be read.
    """
    path = folder / RUN_FILE
    return read_facts(path, RunRecord, RUN_FORMAT) if path.is_file() else None


def graphs_fingerprint(folder: Path) -> str:
    """The hash of the manifest of the graphs, which holds the hashes of all files.

    Raises:
        ConfigurationError: there is no manifest.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise ConfigurationError(f"{path} is missing: name the folder 'graphs' that `uwe data build` has written")
    return sha256_of(path)


def base_model(config: RunConfig, data: str, fingerprint: str, device: str) -> UweModel:
    """The model that training begins with, with the facts that its checkpoints are to carry.

    Raises:
        ConfigurationError: adapters are to be trained over an adapter.
    """
    local = Path(config.model).expanduser()
    if config.train.lora is not None and (local / ADAPTER_FILE).is_file():
        raise ConfigurationError(f"{local} is an adapter itself, and an adapter over an adapter cannot be saved")
    loaded = UweModel.from_pretrained(config.model, device=device)
    info = CheckpointInfo(
        interaction=config.interaction or loaded.interaction,
        base=str(local.resolve()) if local.is_dir() else config.model,
        training_data_fingerprint=fingerprint,
        seen_spaces=("sample-skills",) if data == SAMPLE else (SKILLS,),
    )
    return UweModel(loaded.encoder, info, config.model)


def _refuse_another_run(request: TrainRequest) -> None:
    """The folder must be new, or hold this very run, to be resumed.

    Raises:
        ConfigurationError: it is neither.
    """
    found = read_run(request.out)
    if found is None:
        return
    if not request.resume:
        raise ConfigurationError(f"{request.out} holds a run already: --resume goes on with it")
    if found.config != request.config:
        raise ConfigurationError(f"the run in {request.out} has another configuration, see {RUN_FILE} in it")


def refuse_foreign_skills(graphs: Iterable[BipartiteGraph]) -> None:
    """The sample's leak check knows of its own test texts alone, so it lets no other taxonomy pass.

    Raises:
        ConfigurationError: a skill is not of the sample.
    """
    known = set(sample_skills().texts)
    for graph in graphs:
        foreign = [skill for skill in graph.queries if skill not in known] if graph.of_skills else []
        if foreign:
            raise ConfigurationError(
                f"'{foreign[0]}' is no skill of the sample: name the evaluation data, whose texts may not be trained "
                "on (--data)"
            )


def _record(request: TrainRequest, fingerprint: str) -> RunRecord:
    return RunRecord(
        graphs=str(request.graphs.resolve()),
        graphs_fingerprint=fingerprint,
        data=request.data if request.data == SAMPLE else str(Path(request.data).resolve()),
        config=request.config,
        versions={"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


@contextmanager
def _observer(folder: Path, ranks: Ranks) -> Iterator[Observer]:
    """The logs of the first rank, which keeps the folder locked; the others log nothing."""
    if not ranks.is_first:
        yield Silent()
        return
    with locked_folder(folder, "run"), progress_bar("training") as bar:
        logs: list[Observer] = [MetricsLog(folder / METRICS_FILE), TerminalLog(bar)]
        yield Observers([*logs, *tensorboard_logs(folder / TENSORBOARD_FOLDER)])

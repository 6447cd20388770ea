"""Train: from a folder of graphs and a configuration to a run folder with checkpoints, logs and a plot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from training.benchmark import describe_machine
from training.build_graphs import leak_check
from training.evaluate import SAMPLE
from training.pipeline.stage import MANIFEST_FILE, read_manifest
from training.run_config import RunConfig
from training.run_log import METRICS_FILE, read_log
from training.run_plots import PLOT_FILE, save_curves
from training.run_record import RUN_FILE, RunRecord, installed_versions, read_run
from training.training_run import TrainingRun, run_lock
from training.trial_runs import run_trials
from training.validation import validation_datasets
from training.workbench.tasks import SKILLS
from uwe_core.adapter import ADAPTER_FILE
from uwe_core.errors import ConfigurationError
from uwe_core.files import sha256_of
from uwe_core.graph import BipartiteGraph, read_graphs
from uwe_core.model import CheckpointInfo, UweModel
from uwe_core.ranks import Ranks
from uwe_core.sample import sample_skills
from uwe_core.trainer.train_config import TrainConfig
from uwe_core.trainer.train_state import RunIdentity
from uwe_core.trainer.trainer import TrainResult


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
        recipe: whose configuration it is, but for single values.
    """

    graphs: Path
    data: str
    config: RunConfig
    out: Path
    device: str = "auto"
    resume: bool = False
    max_minutes: float | None = None
    recipe: str | None = None


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
    manifest = read_manifest(request.graphs)
    fresh_base = partial(base_model, request.config, request.data, fingerprint, request.device)
    base = fresh_base()
    run = TrainingRun(
        out=request.out,
        record=_record(request, fingerprint),
        graphs=list(graphs.values()),
        graph_counts=manifest.counts if manifest else {},
        datasets=datasets,
        resume=request.resume,
        should_stop=should_stop,
    )
    with run_lock(request.out):
        config = _after_trials(run, base, fresh_base)
        if isinstance(config, TrainResult):
            return config
        seconds = None if request.max_minutes is None else 60.0 * request.max_minutes - (time.perf_counter() - start)
        result = run.train(base, config, request.out, "training", seconds)
        if ranks.is_first:
            save_curves(read_log(request.out / METRICS_FILE), request.out / PLOT_FILE)
    return result


def _after_trials(run: TrainingRun, base: UweModel, fresh_base: Callable[[], UweModel]) -> TrainConfig | TrainResult:
    """The configuration to train with, which trials have completed where there are any; or a trial that was stopped."""
    asked = run.record.config
    if asked.trials is None:
        return asked.train
    identity = RunIdentity(
        config=asked.train,
        base_fingerprint=base.encoder.fingerprint,
        data_fingerprint=run.record.graphs_fingerprint,
    )
    return run_trials(run, asked.trials, identity, fresh_base)


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
        recipe=request.recipe,
        machine=describe_machine(request.device),
        versions=installed_versions(),
    )

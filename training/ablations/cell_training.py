"""Train one cell: the trainer's run in a folder of its own, of which only the figures stay."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from training.ablations.cells import Cell, CellResult
from training.ablations.synthetic_texts import fingerprint_with_share, with_synthetic_share
from training.benchmark import describe_machine
from training.build_graphs import leak_check
from training.evaluate import SAMPLE
from training.run_config import RunConfig
from training.run_log import METRICS_FILE, STEP, VALIDATION, MetricsLog, Observers, TerminalLog, read_log
from training.terminal import progress_bar
from training.train import base_model, graphs_fingerprint, refuse_foreign_skills
from training.validation import ValidationConfig, validate, validation_datasets
from training.workbench.dataset import RankingDataset
from uwe_core.batches.sampling import BatchSampler
from uwe_core.encoder import Precision
from uwe_core.files import atomic_folder
from uwe_core.graph import BipartiteGraph, read_graphs
from uwe_core.model import UweModel
from uwe_core.trainer.learner import Learner
from uwe_core.trainer.observer import Validation
from uwe_core.trainer.run_folder import RunFolder
from uwe_core.trainer.speed_trials import chosen_precision
from uwe_core.trainer.train_state import STATE_FILE
from uwe_core.trainer.trainer import Trainer, trained_graphs

RUNNING_FOLDER = "running"
WEIGHTS_FOLDER = "weights"


@dataclass(frozen=True)
class AblationInputs:
    """What all cells are trained and judged on, read once.

    Attributes:
        folder: of the graphs.
        graphs: to train on.
        graphs_fingerprint: of their manifest, and of the share of synthetic texts where it is not all.
        data: `sample`, or the folder of evaluation data.
        datasets: of validation.
        device: `auto`, `cpu`, `cuda` or `cuda:n`.
    """

    folder: Path
    graphs: Sequence[BipartiteGraph]
    graphs_fingerprint: str
    data: str
    datasets: Sequence[RankingDataset]
    device: str

    @classmethod
    def read(cls, folder: Path, data: str, validation: ValidationConfig, device: str) -> AblationInputs:
        """Read and check them.

        Raises:
            LeakError: a test text is in the graphs.
            UweError: they cannot be read.
        """
        fingerprint = graphs_fingerprint(folder)
        graphs = list(read_graphs(folder).values())
        if data == SAMPLE:
            refuse_foreign_skills(graphs)
        leak_check(data).refuse(graphs)
        return cls(folder, graphs, fingerprint, data, validation_datasets(folder, data, validation), device)

    def with_synthetic_share(self, share: float) -> AblationInputs:
        """The same with a share of the synthetic texts; a part of what was read has no leak that the whole has not."""
        if share == 1:
            return self
        graphs = read_graphs(self.folder, partial(with_synthetic_share, share=share))
        fingerprint = fingerprint_with_share(self.graphs_fingerprint, share)
        return replace(self, graphs=list(graphs.values()), graphs_fingerprint=fingerprint)

    def base(self, run: RunConfig) -> UweModel:
        """A fresh model to train."""
        return base_model(run, self.data, self.graphs_fingerprint, self.device)

    def faster_precision(self, run: RunConfig) -> Precision:
        """What the configuration says, or the faster one by a trial, so that all cells have the same."""
        graphs = trained_graphs(self.graphs, run.train)
        sampler = BatchSampler(graphs, run.train.sampling, run.train.seed)
        return chosen_precision(Learner(self.base(run).encoder, run.train), sampler)


@dataclass(frozen=True)
class CellTraining:
    """Trains cells below one folder.

    Attributes:
        root: the output folder.
        inputs: of all cells.
        keep_weights: the last checkpoint of each cell stays.
    """

    root: Path
    inputs: AblationInputs
    keep_weights: bool

    def train(self, cell: Cell, base: Validation | None, should_stop: Callable[[], bool]) -> CellResult | None:
        """Train a cell, or go on where it was stopped; None where it is stopped again.

        Args:
            cell: the one.
            base: figures of the untrained model under the cell's interaction, where they are known.
            should_stop: asked between steps.

        Raises:
            UweError: see `Trainer`.
        """
        run, folder = cell.run, self._folder(cell)
        inputs = self.inputs.with_synthetic_share(cell.variant.synthetic_share)
        judge: Callable[[UweModel], Validation] = partial(validate, datasets=inputs.datasets)
        is_new = not (RunFolder(folder).state / STATE_FILE).is_file()
        if base is not None and is_new:  # a run's first judgement is of the untrained model
            judge = _first_known(base, judge)
        folder.mkdir(parents=True, exist_ok=True)
        with progress_bar(f"{cell.variant.name}, seed {cell.seed}") as bar:
            observer = Observers([MetricsLog(folder / METRICS_FILE), TerminalLog(bar)])
            model = inputs.base(run)
            trainer = Trainer(model, inputs.graphs, run.train, RunFolder(folder), judge, observer)
            done = trainer.run(resume=True, should_stop=should_stop)
        if done.progress.validated_step != done.plan.steps:  # it may have been stopped before the last judgement
            return None
        log = read_log(folder / METRICS_FILE)
        return CellResult(
            variant=cell.variant.name,
            seed=cell.seed,
            fingerprint=cell.fingerprint,
            steps=done.plan.steps,
            precision=done.plan.precision,
            machine=describe_machine(inputs.device),
            seconds=sum(line["seconds"] for line in log if line["kind"] in {STEP, VALIDATION}),
            base=_metrics_at(log, 0),
            metrics=_metrics_at(log, done.plan.steps),
        )

    def keep(self, cell: Cell) -> None:
        """Copy the checkpoint of a cell that was trained, where weights are kept."""
        last = RunFolder(self._folder(cell)).last
        if self.keep_weights and last.is_dir():
            with atomic_folder(self.root / WEIGHTS_FOLDER / cell.name) as aside:
                shutil.copytree(last, aside, dirs_exist_ok=True)

    def clear(self, cell: Cell) -> None:
        """Remove what the training of a finished cell left."""
        shutil.rmtree(self._folder(cell), ignore_errors=True)

    def _folder(self, cell: Cell) -> Path:
        return self.root / RUNNING_FOLDER / cell.name


def _first_known(first: Validation, judge: Callable[[UweModel], Validation]) -> Callable[[UweModel], Validation]:
    known = iter([first])
    return lambda model: next(known, None) or judge(model)


def _metrics_at(log: Sequence[Mapping[str, Any]], step: int) -> dict[str, float]:
    (metrics,) = [line["metrics"] for line in log if line["kind"] == VALIDATION and line["step"] == step]
    return dict(metrics)

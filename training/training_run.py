"""TrainingRun: what the trials of a run and the run itself share: graphs, validation, record, logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from training.folder_lock import locked_folder
from training.model_card import CardFacts, model_card
from training.run_log import METRICS_FILE, TENSORBOARD_FOLDER, MetricsLog, Observers, TerminalLog, tensorboard_logs
from training.run_record import RUN_FILE, RunRecord
from training.terminal import progress_bar
from training.validation import validate
from training.workbench.dataset import RankingDataset
from uwe_core.files import room_for, write_text
from uwe_core.graph import BipartiteGraph
from uwe_core.model import UweModel
from uwe_core.ranks import Ranks
from uwe_core.trainer.observer import Observer, Silent
from uwe_core.trainer.run_folder import CheckpointFacts, RunFolder
from uwe_core.trainer.train_config import TrainConfig
from uwe_core.trainer.trainer import Trainer, TrainResult


@dataclass(frozen=True)
class TrainingRun:
    """Everything that training needs beside a model and the configuration of its steps.

    Attributes:
        out: the run folder.
        record: of the run, written there as soon as a trainer could be made.
        graphs: to train on.
        graph_counts: of their manifest, for model cards.
        datasets: to validate on.
        resume: go on from a state, where there is one.
        should_stop: asked between steps.
    """

    out: Path
    record: RunRecord
    graphs: Sequence[BipartiteGraph]
    graph_counts: Mapping[str, int]
    datasets: Sequence[RankingDataset]
    resume: bool
    should_stop: Callable[[], bool]

    def train(
        self, model: UweModel, config: TrainConfig, folder: Path, title: str, max_seconds: float | None = None
    ) -> TrainResult:
        """Train a model in place.

        Args:
            model: changed.
            config: of the steps.
            folder: of checkpoints, state and logs: the run folder, or one inside it.
            title: of the progress bar.
            max_seconds: for everything.

        Raises:
            UweError: see `Trainer`.
        """
        judge = partial(validate, datasets=self.datasets)
        with run_logs(folder, title) as observer:
            run_folder = RunFolder(folder, partial(self._card, config))
            trainer = Trainer(model, self.graphs, config, run_folder, judge, observer)
            if Ranks.here().is_first:
                write_text(self.out / RUN_FILE, self.record.model_dump_json(indent=1) + "\n")
            return trainer.run(resume=self.resume, max_seconds=max_seconds, should_stop=self.should_stop)

    def _card(self, config: TrainConfig, checkpoint: CheckpointFacts) -> str:
        trained = self.record.config.model_copy(update={"train": config})
        return model_card(CardFacts(checkpoint, self.record.model_copy(update={"config": trained}), self.graph_counts))


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """The first rank keeps other runs out of the folder."""
    if not Ranks.here().is_first:
        yield
        return
    with locked_folder(folder, "run"):
        yield


@contextmanager
def run_logs(folder: Path, title: str) -> Iterator[Observer]:
    """The logs of the first rank; the others log nothing."""
    if not Ranks.here().is_first:
        yield Silent()
        return
    with room_for(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with progress_bar(title) as bar:
        logs: list[Observer] = [MetricsLog(folder / METRICS_FILE), TerminalLog(bar)]
        yield Observers([*logs, *tensorboard_logs(folder / TENSORBOARD_FOLDER)])

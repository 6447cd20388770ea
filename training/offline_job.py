"""The offline job: build graphs, train on them, judge the best checkpoint, precompute its target spaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.build_graphs import graph_build
from training.evaluate import RESULTS_FOLDER, SAMPLE, data_candidates, judge_all, read_datasets, write_report
from training.pipeline.build import GRAPHS
from training.pipeline.config import BuildConfig
from training.pipeline.inputs import RawSources
from training.pipeline.parts import Runner
from training.pipeline.workspace import Tell, Workspace
from training.precompute import Precomputed, precompute
from training.run_config import RunConfig
from training.run_record import read_run
from training.train import TrainRequest, train
from training.workbench.baselines.specification import build_models
from training.workbench.report import Report
from training.workbench.results import ResultStore
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.model import UweModel
from uwe_core.token_storage import SERVED_STORAGE, StorageType
from uwe_core.trainer.trainer import TrainResult

BUILD = "build"
RUN = "run"
EVALUATION = "evaluation"
BEST = "best"


@dataclass(frozen=True)
class OfflineJob:
    """Everything from raw data to what the service reads, in one folder; what is finished in it is not done again.

    Attributes:
        out: holds `build`, `run` and `evaluation`.
        data: `sample`, or a folder in the layout of the evaluation data.
        named: raw sources named one by one.
        build: settings of the graphs.
        run: settings of the training.
        runner: where the parts of the build are computed.
        device: `auto`, `cpu`, `cuda` or `cuda:n`.
        recipe: whose settings `run` are, but for single values.
    """

    out: Path
    data: str
    named: RawSources
    build: BuildConfig
    run: RunConfig
    runner: Runner
    device: str = "auto"
    recipe: str | None = None

    @property
    def model(self) -> Path:
        """The folder of the best checkpoint."""
        return self.out / RUN / BEST

    def build_graphs(self, tell: Tell) -> Path:
        """The folder of the graphs."""
        workspace = Workspace(self.out / BUILD, self.runner, tell)
        graph_build(workspace, self.data, self.named, None, self.build, self.device).run()
        return workspace.root / GRAPHS

    def train(self, should_stop: Callable[[], bool]) -> TrainResult:
        """Train on the graphs, or go on where an earlier job was stopped."""
        folder = self.out / RUN
        graphs, began = self.out / BUILD / GRAPHS, read_run(folder) is not None
        request = TrainRequest(graphs, self.data, self.run, folder, self.device, resume=began, recipe=self.recipe)
        return train(request, should_stop)

    def evaluate(self) -> Report:
        """Judge the model that training began with and the best checkpoint, and write the report."""
        datasets, absent = read_datasets(data_candidates(self.data, "either"), None)
        models = list(build_models([self.run.model, str(self.model)], self.device))
        folder = self.out / EVALUATION
        judgements = judge_all(models, datasets, ResultStore(folder / RESULTS_FOLDER))
        report = Report(models, datasets, judgements, absent, paper=self.data != SAMPLE)
        write_report(report, folder)
        return report

    def precompute(self, home: Path, dtype: StorageType = SERVED_STORAGE) -> Sequence[Precomputed]:
        """The token indexes of every target space under `home`."""
        catalogue = SpaceCatalogue(home)
        model = UweModel.from_pretrained(self.model, device=self.device)
        return list(precompute(model, catalogue, catalogue.names, dtype))

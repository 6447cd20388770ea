"""Ablate: train every variant of one of the paper's ablations with several seeds, and report."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.ablations.caption import Finding
from training.ablations.cell_training import AblationInputs, CellTraining
from training.ablations.cells import AVERAGE_MAP, Cell, CellResult, CellStore, cells_of
from training.ablations.config import AblationConfig, AblationName
from training.ablations.plots import save_plot
from training.ablations.report import AblationReport
from training.ablations.synthetic_texts import fingerprint_with_share
from training.ablations.temperature_grid import scaled_grid
from training.ablations.variants import Variant, variants_of
from training.folder_lock import locked_folder
from uwe_core.errors import ConfigurationError
from uwe_core.trainer.observer import Validation
from uwe_core.trainer.trainer import trained_graphs

Tell = Callable[[str], None]


@dataclass(frozen=True)
class AblationRequest:
    """What a command asks for.

    Attributes:
        name: of the ablation.
        graphs: the folder of the graphs.
        data: `sample`, or a folder of evaluation data.
        config: of all variants.
        out: the output folder; finished cells in it are not done again.
        device: `auto`, `cpu`, `cuda` or `cuda:n`.
        keep_weights: of the cells that are trained from now on.
    """

    name: AblationName
    graphs: Path
    data: str
    config: AblationConfig
    out: Path
    device: str = "auto"
    keep_weights: bool = False


@dataclass(frozen=True)
class AblationOutcome:
    """How an ablation ended.

    Attributes:
        report: of the seeds of which every variant is finished; None where there are none.
        stopped: it was asked to stop, and goes on when started again.
    """

    report: AblationReport | None
    stopped: bool


def ablate(request: AblationRequest, tell: Tell, should_stop: Callable[[], bool] = lambda: False) -> AblationOutcome:
    """Train what is not trained yet and write `ablation.json`, `ablation.md` and `ablation.png`.

    Args:
        request: what.
        tell: is given a line of progress after each cell.
        should_stop: asked between steps and cells.

    Raises:
        ConfigurationError: another ablation is at work in the folder, or a variant cannot be trained.
        LeakError: a test text is in the graphs.
        UweError: see `Trainer`.
    """
    with locked_folder(request.out, "ablation"):
        inputs = AblationInputs.read(request.graphs, request.data, request.config.run.validation, request.device)
        store = CellStore(request.out)
        config, variants, cells = _planned(request, inputs, store)
        training = CellTraining(request.out, inputs, request.keep_weights)
        results = _train_all(cells, training, store, tell, should_stop)
        finding = Finding(request.name, config, inputs.graphs_fingerprint, inputs.datasets)
        report = AblationReport.of_complete_seeds(finding, variants, results)
        if report is not None:
            report.save(request.out)
            save_plot(report, request.out)
        return AblationOutcome(report, stopped=len(results) < len(cells))


def _planned(
    request: AblationRequest, inputs: AblationInputs, store: CellStore
) -> tuple[AblationConfig, list[Variant], list[Cell]]:
    """The configuration with what the machine and the encoder decide, and its cells."""
    config, train = request.config, request.config.run.train
    if train.precision == "auto":
        precision = store.precision() or inputs.faster_precision(config.run)
        run = config.run.model_copy(update={"train": train.model_copy(update={"precision": precision})})
        config = config.model_copy(update={"run": run})
    base = inputs.base(config.run).encoder
    if request.name == "temperature" and not config.temperatures:
        skills = next(graph.queries for graph in inputs.graphs if graph.of_skills)
        config = config.model_copy(update={"temperatures": scaled_grid(base, skills)})
    variants = variants_of(request.name, config)
    for variant in variants:
        _refuse_untrainable(variant, inputs.with_synthetic_share(variant.synthetic_share))
    datasets = [dataset.fingerprint for dataset in inputs.datasets]

    def inputs_of(variant: Variant) -> tuple[str, ...]:
        graphs = fingerprint_with_share(inputs.graphs_fingerprint, variant.synthetic_share)
        return (graphs, base.fingerprint, *datasets)

    return config, variants, cells_of(variants, config.seeds, inputs_of)


def _refuse_untrainable(variant: Variant, inputs: AblationInputs) -> None:
    """An error now, not in an hour.

    Raises:
        ConfigurationError: it has no graph to train on.
    """
    try:
        trained_graphs(inputs.graphs, variant.run.train)
    except ConfigurationError as error:
        raise ConfigurationError(f"the variant '{variant.name}' cannot be trained: {error}") from error


def _train_all(
    cells: Sequence[Cell], training: CellTraining, store: CellStore, tell: Tell, should_stop: Callable[[], bool]
) -> list[CellResult]:
    """The results of all cells, or, where it is stopped, of those that are finished."""
    results = {cell.name: found for cell in cells if (found := store.get(cell)) is not None}
    if results:
        tell(f"{len(results)} of {len(cells)} cells are finished already")
    for cell in cells:
        if cell.name not in results:
            finished = [(other, results[other.name]) for other in cells if other.name in results]
            done = None if should_stop() else training.train(cell, _known_base(cell, finished), should_stop)
            if done is None:
                break
            training.keep(cell)
            store.put(cell, done)
            results[cell.name] = done
            tell(_progress(done, list(results.values()), len(cells)))
        training.clear(cell)
    return list(results.values())


def _known_base(cell: Cell, finished: Sequence[tuple[Cell, CellResult]]) -> Validation | None:
    """The untrained model's figures depend on the interaction alone, and a finished cell may have them."""
    for other, result in finished:
        if other.run.interaction == cell.run.interaction:
            return Validation(result.base[AVERAGE_MAP], result.base)
    return None


def _progress(done: CellResult, results: Sequence[CellResult], cells: int) -> str:
    left = (cells - len(results)) * statistics.fmean(result.seconds for result in results)
    return (
        f"cell {len(results)} of {cells}: {done.variant}, seed {done.seed}: MAP {done.metrics[AVERAGE_MAP]:.2f}, "
        f"untrained {done.base[AVERAGE_MAP]:.2f}; {_duration(done.seconds)}, about {_duration(left)} left"
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

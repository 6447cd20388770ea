"""`uwe tune`, `uwe calibrate`, `uwe probe`: what is chosen, fitted and asked of a model after its training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from training.calibration.calibrate import Calibrated, calibrate, write_calibration
from training.calibration.plot import PLOT_FILE, save_reliability
from training.evaluate import SAMPLE
from training.options import Data, Device, Home
from training.probe.movement import summarise
from training.probe.probe import probe, spaces_to_probe
from training.probe.texts import probe_queries
from training.terminal import print_whole
from training.tune import (
    Adapter,
    Trial,
    TuneConfig,
    average_adapters,
    read_adapter,
    refuse_existing,
    tune,
    write_adapter,
)
from training.validation import METRICS, ValidationConfig, half_datasets, validation_datasets
from training.workbench.baselines.specification import build_models, interaction_named
from training.workbench.dataset import Half
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.errors import InputError
from uwe_core.home import default_home
from uwe_core.interaction import InteractionConfig
from uwe_core.model import UweModel, read_checkpoint_info

Graphs = Annotated[Path, typer.Option(help="The folder 'graphs' of `uwe data build`, for its validation titles.")]
MostQueries = Annotated[int, typer.Option(min=1, help="Queries of each data set.")]
CALIBRATION_HALVES: tuple[Half, Half] = ("selecting", "reporting")  # the first fits, the second judges
MostTargets = Annotated[
    int | None, typer.Option(min=1, help="Targets of each data set: quicker, and easier, so for trials alone.")
]


def tune_command(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    adapters: Annotated[list[Path], typer.Argument(help="Adapter folders of one base.")],
    out: Annotated[Path, typer.Option(help="Folder of the chosen adapter; must not exist.")],
    graphs: Graphs,
    data: Data = SAMPLE,
    average: Annotated[bool, typer.Option("--average", help="Tune the mean of several adapters.")] = False,
    rank: Annotated[int | None, typer.Option(min=1, help="Of the mean; the largest of theirs where none.")] = None,
    strength: Annotated[
        list[float] | None, typer.Option(help="Shares of the adapter's own scale: 0, 0.25, 0.5, 0.75, 1.")
    ] = None,
    temperature_factor: Annotated[
        list[float] | None, typer.Option(help="Of the own interaction temperature: 0.25, 0.5, 1, 2, 4.")
    ] = None,
    interaction: Annotated[
        list[str] | None, typer.Option(help="Another one, such as context_match@0.5, at the best strength.")
    ] = None,
    most_queries: MostQueries = 400,
    most_targets: MostTargets = None,
    device: Device = "auto",
) -> None:
    """Choose an adapter's strength and interaction on the selecting halves of validation; store it small."""
    refuse_existing(out)
    adapter = _one_adapter(adapters, average, rank)
    others = [interaction_named(word, adapter.info.interaction) for word in interaction or ()]
    given = {"strengths": strength, "temperature_factors": temperature_factor, "interactions": others}
    config = TuneConfig.model_validate({name: values for name, values in given.items() if values})
    datasets = validation_datasets(graphs, data, ValidationConfig(most_queries=most_queries, most_targets=most_targets))
    done = tune(adapter, datasets, config, device, lambda trial: typer.echo(_in_words(trial), err=True))
    print_whole(_trial_table(done.trials, [dataset.name for dataset in datasets]))
    write_adapter(done, out)
    precision = "half precision" if done.half_precision else "float32, which half precision would change too much"
    typer.echo(f"{out}: {_in_words(done.best)}; in {precision}: average MAP {done.stored.average:.2f}")


def _one_adapter(folders: list[Path], average: bool, rank: int | None) -> Adapter:
    read = [read_adapter(folder) for folder in folders]
    if not average:
        if len(read) > 1 or rank is not None:
            raise InputError("several adapters, or another rank, are for --average")
        return read[0]
    adapter, lost = average_adapters(read, rank)
    typer.echo(f"mean of {len(read)} adapters; of no layer more than {lost:.2%} of the squared norm is lost", err=True)
    return adapter


def _in_words(trial: Trial) -> str:
    return f"strength {trial.strength:g}, {_shown(trial.interaction)}: average MAP {trial.validation.average:.2f}"


def _shown(interaction: InteractionConfig) -> str:
    return f"{interaction.kind} at {interaction.interaction_temperature:g}"


def _trial_table(trials: list[Trial], names: list[str]) -> Table:
    """MAP / RP@10 in percent."""
    table = Table("strength", "interaction", *names, "average")
    for trial in trials:
        figures = trial.validation.metrics
        cells = (" / ".join(f"{figures[f'{name}/{metric}']:.1f}" for metric in METRICS) for name in [*names, "average"])
        table.add_row(f"{trial.strength:g}", _shown(trial.interaction), *cells)
    return table


def calibrate_command(
    folder: Annotated[Path, typer.Argument(help="A model folder with uwe.json, which is written anew.")],
    graphs: Graphs,
    data: Data = SAMPLE,
    most_queries: MostQueries = 400,
    device: Device = "auto",
) -> None:
    """Fit confidences on the selecting halves of validation, and judge them on the reporting halves."""
    if read_checkpoint_info(folder) is None:
        raise InputError(f"{folder} is no model folder of ours: it has no uwe.json")
    config = ValidationConfig(most_queries=most_queries)
    selecting, reporting = (half_datasets(graphs, data, config, half) for half in CALIBRATION_HALVES)
    done = calibrate(UweModel.from_pretrained(folder, device=device), selecting, reporting)
    print_whole(_reliability_table(done))
    save_reliability(done.shown, folder / PLOT_FILE)
    write_calibration(folder, done.by_task)
    typer.echo(f"{folder}: calibrated {', '.join(done.by_task)}; reliability in {folder / PLOT_FILE}")


def probe_command(
    model: Annotated[str, typer.Argument(help="As for `uwe evaluate`.")],
    out: Annotated[Path, typer.Option(help="Folder for bias.json and bias.md.")],
    space: Annotated[
        list[str] | None, typer.Option(help="Target spaces; the sample's and ESCO's where none is named.")
    ] = None,
    home: Home = default_home(),  # noqa: B008 - typer reads defaults once
    device: Device = "auto",
) -> None:
    """How much rankings move when only gender, age or origin words of the query change, beside controls."""
    spaces = list(spaces_to_probe(SpaceCatalogue(home), space or ()))
    (ranking,) = build_models([model], device)
    report = probe(ranking, probe_queries(), spaces)
    report.write(out)
    table = Table("target space", "attribute", "rank change", "overlap", "rank change beyond", "overlap beyond")
    for name, movements in report.movements.items():
        for attribute, figures in summarise(movements).items():
            beyond = [f"{one.mean:+.2f}" for one in figures.beyond_control or ()] or ["", ""]
            table.add_row(name, attribute, f"{figures.rank_change.mean:.1f}", f"{figures.overlap.mean:.2f}", *beyond)
    print_whole(table)
    typer.echo(f"{out}: bias.md with intervals and single words, bias.json with every variant")


def _reliability_table(done: Calibrated) -> Table:
    """Percent, on the reporting halves: of the first ten targets of each query, then of all targets."""
    table = Table(
        "task", "slope", "first 10: error", "Brier", "of base rate", "all targets: error", "Brier", "of base rate"
    )
    for task, calibration in done.by_task.items():
        if task not in done.shown:
            table.add_row(task, f"{calibration.slope:.1f}", *["no other half"] * 6)
            continue
        cells = [
            f"{100 * value:.3g}"
            for found in (done.shown[task], done.every[task])
            for value in (found.calibration_error, found.brier, found.brier_of_base_rate)
        ]
        table.add_row(task, f"{calibration.slope:.1f}", *cells)
    return table

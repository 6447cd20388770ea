"""`uwe train`: train a model on graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from training.evaluate import SAMPLE
from training.interruption import STOPPED_STATUS, stop_on_signals
from training.options import Data, Device
from training.process_group import process_group
from training.recipes import RECIPES, recipe_of
from training.run_config import overridden
from training.run_record import RunRecord, read_run
from training.train import TrainRequest, train
from uwe_core.errors import InputError
from uwe_core.ranks import Ranks
from uwe_core.trainer.trainer import TrainResult


def train_command(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    out: Annotated[Path, typer.Option(help="The run folder: checkpoints, state, logs.")],
    graphs: Annotated[Path | None, typer.Option(help="The folder 'graphs' of `uwe data build`.")] = None,
    recipe: Annotated[str | None, typer.Option(help=f"One of: {', '.join(RECIPES)}.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key.sub=value, over the recipe: train.steps=100.")
    ] = None,
    data: Data = SAMPLE,
    device: Device = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, as it began; a new one where there is none.")
    ] = False,
    max_minutes: Annotated[
        float | None, typer.Option(help="Plan as many steps as fit, by the measured speed.", min=0)
    ] = None,
) -> None:
    """Train a model on graphs. SIGTERM and SIGINT save first; the status is then 130.

    Under torchrun several processes train one model: torchrun --no-python --nproc-per-node 2 uwe train ...
    """
    found = read_run(out) if resume else None
    request = _new(out, graphs, recipe, data) if found is None else _resumed(out, found, graphs, recipe)
    config = overridden(request.config, settings or ())
    with process_group(device) as own_device, stop_on_signals() as should_stop:
        request = replace(request, config=config, device=own_device, resume=resume, max_minutes=max_minutes)
        result = train(request, should_stop)
        if Ranks.here().is_first:
            _tell(result, out)
    if result.stopped:
        raise typer.Exit(STOPPED_STATUS)


def _tell(result: TrainResult, out: Path) -> None:
    progress = result.progress
    if (out / "best").is_dir():  # not yet where a trial was stopped
        typer.echo(f"{out / 'best'}: MAP {progress.best_average:.1f} after step {progress.best_step}")
        typer.echo(f"{out / 'last'}: after step {progress.step} of {result.plan.steps}")
    if result.stopped:
        typer.echo(f"stopped, nothing is lost; to go on: uwe train --resume --out {out}", err=True)


def _new(out: Path, graphs: Path | None, recipe: str | None, data: str) -> TrainRequest:
    if graphs is None or recipe is None:
        raise InputError(f"{out} holds no run to resume: name --graphs, and --recipe ({', '.join(RECIPES)})")
    return TrainRequest(graphs, data, recipe_of(recipe), out, recipe=recipe)


def _resumed(out: Path, found: RunRecord, graphs: Path | None, recipe: str | None) -> TrainRequest:
    """As the record says; the graphs may have moved, and a recipe named again must be the same."""
    config = found.config if recipe is None else recipe_of(recipe)
    return TrainRequest(graphs or Path(found.graphs), found.data, config, out, recipe=recipe or found.recipe)

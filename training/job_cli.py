"""`uwe job`: the whole offline job in one command, as a container runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from training.data_cli import tell_stage
from training.evaluate import SAMPLE
from training.interruption import STOPPED_STATUS, stop_on_signals
from training.offline_job import OfflineJob
from training.options import Data, Device, Home
from training.pipeline.config import BuildConfig, read_config
from training.pipeline.inputs import RawSources
from training.pipeline.parts import LocalRunner
from training.process_group import LONG_PATIENCE, process_group, threads_of_all
from training.recipes import RECIPES, recipe_of
from training.run_config import overridden
from training.terminal import print_whole
from uwe_core.home import default_home
from uwe_core.ranks import Ranks


def job_command(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    out: Annotated[Path, typer.Option(help="Folder of graphs, run and evaluation; what is finished is reused.")],
    recipe: Annotated[str, typer.Option(help=f"One of: {', '.join(RECIPES)}.")],
    vacancies: Annotated[list[str] | None, typer.Argument(help="CSV, JSONL or Parquet: files, folders, globs.")] = None,
    data: Data = SAMPLE,
    build: Annotated[Path | None, typer.Option(help="A TOML file of settings of the graphs: docs/data.md.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="As for `uwe train`.")] = None,
    device: Device = "auto",
    home: Home = default_home(),  # noqa: B008 - typer reads defaults once
) -> None:
    """Build graphs, train, evaluate and precompute; started again it goes on where it was.

    Under torchrun (torchrun --no-python --nproc-per-node 2 uwe job ...) all processes train, and the first one does the
    rest while the others wait.
    """
    build_config = read_config(build) if build else BuildConfig()
    run = overridden(recipe_of(recipe), settings or ())
    with process_group(device, LONG_PATIENCE) as own_device:
        job = OfflineJob(
            out=out,
            data=data,
            named=RawSources(tuple(vacancies or ())),
            build=build_config,
            run=run,
            runner=LocalRunner(),
            device=own_device,
            recipe=recipe,
        )
        stopped = _work(job, home)
    if stopped:
        raise typer.Exit(STOPPED_STATUS)


def _work(job: OfflineJob, home: Path) -> bool:
    """All parts in order; whether training was stopped, and with it everything after it."""
    _first_alone(lambda: _build(job))
    with stop_on_signals() as should_stop:
        stopped = job.train(should_stop).stopped
    _first_alone(_tell_stopped if stopped else lambda: _finish(job, home))
    return stopped


def _first_alone(work: Callable[[], None]) -> None:
    """The first process works with the threads of all, and the others wait; where it fails they all end."""
    with threads_of_all():
        Ranks.here().of_first(work)


def _build(job: OfflineJob) -> None:
    job.build_graphs(tell_stage)


def _tell_stopped() -> None:
    typer.echo("stopped, nothing is lost; start the same command to go on", err=True)


def _finish(job: OfflineJob, home: Path) -> None:
    print_whole(job.evaluate().table())
    for done in job.precompute(home):
        typer.echo(f"{done.space.info.name}: {'reused' if done.reused else 'built'}, {len(done.space):,} targets")
    typer.echo(f"{job.model}: serve it with UWE_MODEL={job.model}")

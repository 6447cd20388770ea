"""`uwe data`: import taxonomies, ingest raw data, build graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.build_graphs import graph_build
from training.evaluate import SAMPLE
from training.options import Data, Device, Home
from training.pipeline.config import BuildConfig, read_config
from training.pipeline.ingest import ingest, ingest_onet
from training.pipeline.inputs import RawSources
from training.pipeline.parts import LocalRunner, RayRunner
from training.pipeline.stage import StageManifest
from training.pipeline.workspace import Workspace
from training.sources.esco import read_release
from training.sources.vacancies import VacancyColumns
from training.taxonomy import esco_taxonomy
from uwe_core.errors import InputError
from uwe_core.home import default_home

data_app = typer.Typer(no_args_is_help=True, help="Import taxonomies and build what models are trained on.")


@data_app.command("import-esco")
def import_esco(
    path: Annotated[Path, typer.Argument(help="The official CSV folder, or its zip.")],
    name: Annotated[str, typer.Option(help="Name of the taxonomy; its spaces are NAME-skills and NAME-jobs.")] = "esco",
    version: Annotated[str | None, typer.Option(help="Where the folder's name does not say it.")] = None,
    language: Annotated[str | None, typer.Option(help="Where the folder holds several, such as 'en'.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a taxonomy of that name.")] = False,
    home: Home = default_home(),  # noqa: B008 - typer reads defaults once
) -> None:
    """Import skills, occupations and their relations from ESCO's official CSV files."""
    release = read_release(path, version, language)
    folder = esco_taxonomy(release, name).save(home, replace=replace)
    typer.echo(
        f"{folder}: ESCO {release.version or '(version unknown)'}, language {release.language}: "
        f"{len(release.skills):,} skills, {len(release.occupations):,} occupations, "
        f"{len(release.relations):,} relations"
    )
    if changes := release.cleaning.describe():
        typer.echo(f"changed: {changes}")


@data_app.command("ingest")
def ingest_command(
    out: Annotated[Path, typer.Option(help="Folder of the ingested tables; a finished one is reused.")],
    vacancies: Annotated[list[str] | None, typer.Argument(help="CSV, JSONL or Parquet: files, folders, globs.")] = None,
    onet: Annotated[Path | None, typer.Option(help="The folder of O*NET's tab-separated files.")] = None,
    title: Annotated[str, typer.Option(help="What the vacancies call their titles.")] = "title",
    description: Annotated[str, typer.Option(help="What they call their descriptions.")] = "description",
) -> None:
    """Read vacancies and O*NET into Parquet, with a side file of rejected rows."""
    if vacancies:
        columns = VacancyColumns(title=title, description=description)
        tell_stage(out / "vacancies", *ingest(vacancies, out / "vacancies", columns))
    if onet:
        tell_stage(out / "onet", *ingest_onet(onet, out / "onet"))
    if not vacancies and not onet:
        raise InputError("nothing to ingest: name vacancies, or --onet")


@data_app.command("build")
def build_command(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    out: Annotated[Path, typer.Option(help="Folder of all stages; finished ones are reused, killed ones go on.")],
    vacancies: Annotated[list[str] | None, typer.Argument(help="CSV, JSONL or Parquet: files, folders, globs.")] = None,
    data: Data = SAMPLE,
    onet: Annotated[Path | None, typer.Option(help="O*NET's folder, where it is not in --data.")] = None,
    skillskape: Annotated[Path | None, typer.Option(help="SkillSkape's folder, likewise.")] = None,
    texts: Annotated[Path | None, typer.Option(help="A file of generated texts, likewise.")] = None,
    skills: Annotated[str | None, typer.Option(help="A target space of skills; that of --data where none.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings: docs/data.md.")] = None,
    ray: Annotated[int, typer.Option(help="So many Ray workers; 0 for this process alone.")] = 0,
    ray_address: Annotated[str | None, typer.Option(help="Of a running Ray cluster.")] = None,
    title: Annotated[str, typer.Option(help="What the vacancies call their titles.")] = "title",
    description: Annotated[str, typer.Option(help="What they call their descriptions.")] = "description",
    device: Device = "auto",
) -> None:
    """Turn vacancies, O*NET and generated texts into bipartite graphs to train on."""
    columns = VacancyColumns(title=title, description=description)
    named = RawSources(tuple(vacancies or ()), columns, onet, skillskape, texts)
    settings = read_config(config) if config else BuildConfig()
    runner = RayRunner.sharing_gpus(ray_address, max(1, ray)) if ray or ray_address else LocalRunner()
    graph_build(Workspace(out, runner, tell_stage), data, named, skills, settings, device).run()


def tell_stage(folder: Path, manifest: StageManifest, reused: bool) -> None:
    """One line of a finished stage: its folder and counts."""
    counts = ", ".join(f"{count:,} {what}" for what, count in manifest.counts.items())
    typer.echo(f"{folder}: {'reused' if reused else 'built'}: {counts}")

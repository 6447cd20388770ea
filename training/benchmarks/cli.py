"""`uwe benchmark latency`, `load`, `scale` and `compare`: the service as its callers meet it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.benchmarks.arrivals import ArrivalKind
from training.benchmarks.closed_loop import Rounds
from training.benchmarks.compare import chosen_peers, measure_compare
from training.benchmarks.latency import Question, measure_latency
from training.benchmarks.load import LoadPlan, LoadRow
from training.benchmarks.load_report import load_cells
from training.benchmarks.load_servers import measure_load
from training.benchmarks.peer_programs import LOADABLE, PEERS
from training.benchmarks.processes import ended_by_sigterm
from training.benchmarks.report import BenchmarkReport
from training.benchmarks.scale import QUERIES, TARGETS, ScalePlan, measure_scale
from training.benchmarks.service_process import ServiceVariant
from training.evaluate import SAMPLE
from training.options import Data, Device, Home, Model
from training.terminal import print_whole, progress_bar
from uwe_core.home import default_home
from uwe_core.token_index import StorageType

Task = Annotated[str, typer.Option(help="One of the six tasks.")]
Taxonomy = Annotated[str, typer.Option(help="'sample', or one that `uwe data import-esco` imported.")]
Service = Annotated[
    list[str] | None,
    typer.Option(help="NAME:setting=value,... of a service to measure; each is a row. The defaults where none is."),
]
TopK = Annotated[int, typer.Option(min=1, help="Targets wanted for a query.")]
RoundCount = Annotated[int, typer.Option("--rounds", min=1, help="In each, every row is asked the same queries.")]
RoundQueries = Annotated[int, typer.Option("--queries", min=1, help="Queries of a round.")]
MaxSeconds = Annotated[float, typer.Option(min=1, help="No round begins later.")]
Peers = Annotated[Path, typer.Option(help="Folder that `make bench-peers` made.")]
Out = Annotated[Path | None, typer.Option(help="Folder for JSON, Markdown and plots.")]


def latency(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    model: Annotated[list[str] | None, typer.Option(help="A built-in name, a folder, or a hub id; several.")] = None,
    task: Task = "jobnorm",
    taxonomy: Taxonomy = SAMPLE,
    data: Data = SAMPLE,
    service: Service = None,
    top_k: TopK = 10,
    rounds: RoundCount = 12,
    queries: RoundQueries = 25,
    max_seconds: MaxSeconds = 200,
    device: Device = "auto",
    home: Home = default_home(),  # noqa: B008 - typer reads defaults once
    out: Out = None,
) -> None:
    """One caller over HTTP beside the ranker called directly, in turns: p50, p95, p99."""
    question = Question(task, taxonomy, data, home, top_k, device)
    plan = Rounds(rounds, queries, seconds=max_seconds)
    with ended_by_sigterm(), progress_bar("rounds") as bar:
        report = measure_latency(question, model or ["embedded"], _variants(service), plan, bar.update)
    show_report(report, out)


def load(  # noqa: PLR0913, PLR0917
    model: Model = "embedded",
    task: Task = "jobnorm",
    taxonomy: Taxonomy = SAMPLE,
    data: Data = SAMPLE,
    service: Service = None,
    beside: Annotated[
        list[str] | None, typer.Option(help=f"Others to load in turns with it: {', '.join(LOADABLE)}.")
    ] = None,
    peers: Peers = Path(".peers"),
    rate: Annotated[list[float] | None, typer.Option(help="Requests a second to measure besides the search.")] = None,
    first_rate: Annotated[float, typer.Option(min=0.1, help="The search doubles it until it breaks.")] = 8.0,
    p99_ms: Annotated[float, typer.Option(min=1, help="A rate holds while p99 keeps this.")] = 250.0,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Over which requests are due, at each rate.")] = 6.0,
    rounds: Annotated[int, typer.Option(min=1, help="Searches; ratios are by round.")] = 3,
    connections: Annotated[int, typer.Option(min=1, max=1000, help="Open at a time.")] = 256,
    arrivals: Annotated[ArrivalKind, typer.Option(help="Of requests.")] = "poisson",
    busy: Annotated[bool, typer.Option(help="Also beside processes that keep all cores busy.")] = True,
    top_k: TopK = 10,
    device: Device = "auto",
    home: Home = default_home(),  # noqa: B008
    out: Out = None,
) -> None:
    """Many callers at rates that do not wait for the service: what it holds, and how it turns the rest away."""
    question = Question(task, taxonomy, data, home, top_k, device)
    plan = LoadPlan(
        rates=rate or (), first_rate=first_rate, p99_ms=p99_ms, seconds=seconds, rounds=rounds,
        connections=connections, kind=arrivals, busy=busy,
    )  # fmt: skip
    with ended_by_sigterm():
        others = chosen_peers(beside) if beside else []
        report = measure_load(question, model, _variants(service), others, peers, plan, _tell_row)
    show_report(report, out)


def scale(  # noqa: PLR0913, PLR0917
    model: Model = "embedded",
    task: Task = "job2skill",
    taxonomy: Taxonomy = SAMPLE,
    data: Data = SAMPLE,
    targets: Annotated[list[int] | None, typer.Option(min=1, help="Numbers of targets.")] = None,
    queries: Annotated[list[int] | None, typer.Option(min=1, help="Numbers of queries in a call.")] = None,
    dtype: Annotated[StorageType, typer.Option(help="Storage precision of token embeddings.")] = "float32",
    cell_seconds: Annotated[float, typer.Option(min=0.1, help="A call that would take longer is skipped.")] = 8.0,
    device: Device = "auto",
    home: Home = default_home(),  # noqa: B008
    out: Out = None,
) -> None:
    """Time and memory of the ranker from a thousand targets to a million, from one query to 256."""
    question = Question(task, taxonomy, data, home, device=device)
    plan = ScalePlan(sorted(targets or TARGETS), sorted(queries or QUERIES), dtype, cell_seconds)
    with ended_by_sigterm():
        report = measure_scale(question, model, plan, tell_line)
    show_report(report, out)


def compare(  # noqa: PLR0913, PLR0917
    model: Model = "embedded",
    task: Task = "job2skill",
    taxonomy: Taxonomy = SAMPLE,
    data: Data = SAMPLE,
    service: Service = None,
    peer: Annotated[
        list[str] | None, typer.Option(help=f"Of: {', '.join(peer.name for peer in PEERS)}; all where none is named.")
    ] = None,
    peers: Peers = Path(".peers"),
    top_k: TopK = 10,
    rounds: RoundCount = 12,
    queries: RoundQueries = 20,
    max_seconds: MaxSeconds = 150,
    home: Home = default_home(),  # noqa: B008
    out: Out = None,
) -> None:
    """The service beside the obvious one, faiss, and other people's scorers and servers, in turns, on the CPU."""
    question = Question(task, taxonomy, data, home, top_k, "cpu")
    plan = Rounds(rounds, queries, seconds=max_seconds)
    with ended_by_sigterm(), progress_bar("rounds") as bar:
        report = measure_compare(question, model, _variants(service), chosen_peers(peer or ()), peers, plan, bar.update)
    show_report(report, out)


def _variants(words: list[str] | None) -> list[ServiceVariant]:
    return [ServiceVariant.parse(word) for word in words] if words else [ServiceVariant()]


def _tell_row(server: str, row: LoadRow) -> None:
    tell_line(f"{server}: {' '.join(load_cells(row))}")


def tell_line(line: str) -> None:
    """Progress, beside the output."""
    typer.echo(line, err=True)


def show_report(report: BenchmarkReport, out: Path | None) -> None:
    """Print a report, and write it where a folder is named."""
    for name, fact in report.facts.items():
        typer.echo(f"{name}: {fact}")
    for grid in report.grids:
        print_whole(grid.table())
    for note in report.notes:
        typer.echo(note)
    if out:
        for file in report.write(out):
            typer.echo(str(file))

"""`uwe rank`: the best targets of texts, in this process or by a running service."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Annotated

import typer

from training.options import Device, Home, Model
from training.ranking.answers import Answer
from training.ranking.bulk import BulkRanking, ranked_in_bulk
from training.ranking.filters import filter_fields, filter_of
from training.ranking.here import rank_here, ranker_of
from training.ranking.outputs import Put, json_lines, parquet_rows, tables
from training.ranking.queries import QuerySource, file_queries, given_queries, piped_queries
from training.ranking.there import client_of, rank_there
from training.terminal import progress_bar
from training.worker_options import Address, OnRay, Threads, Workers, chosen_runner
from uwe_core.home import default_home
from uwe_core.narrowing import Narrowing
from uwe_core.tasks import standard_task

# What a server decides for itself.
_LOCAL = ("model", "taxonomy", "device", "home", "ray", "workers", "address", "threads")


def rank_command(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    context: typer.Context,
    task: Annotated[str, typer.Argument(help="job2skill, skill2job, skillnorm, skillextract, skillsim or jobnorm.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Queries; lines of standard input where none.")] = None,
    file: Annotated[Path | None, typer.Option(help="Queries in their place: .txt, .csv or .parquet.")] = None,
    column: Annotated[str | None, typer.Option(help="Of the file; 'query', 'text' or the only one where none.")] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Targets of each query; the task's own where none.")] = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="Targets with COLUMN=VALUE, or COLUMN=BEGINNING*; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each query.")] = False,
    out: Annotated[Path | None, typer.Option(help="A Parquet file with a row for each target.")] = None,
    model: Model = "embedded",
    taxonomy: Annotated[str, typer.Option(help="'sample', or one imported.", envvar="UWE_TAXONOMY")] = "sample",
    batch_size: Annotated[int, typer.Option(min=1, help="Queries ranked at once, or in one request.")] = 64,
    server: Annotated[str | None, typer.Option(help="Address of a running service, which ranks instead.")] = None,
    api_key: Annotated[
        str | None, typer.Option(help="Of the service; better in the environment.", envvar="UWE_API_KEY")
    ] = None,
    ray: OnRay = False,
    workers: Workers = None,
    address: Address = None,
    threads: Threads = None,
    device: Device = "auto",
    home: Home = default_home(),  # noqa: B008 - typer reads defaults once
) -> None:
    """Rank texts of the command line, of a file or of standard input."""
    _refuse_contradictions(context, texts, file, column, out, as_json)
    fields = filter_fields(filters or [])
    chosen = None if server else standard_task(task, taxonomy)
    source = _source(texts, file, column)
    if chosen is None:
        with client_of(server or "", api_key) as client:
            answers = rank_there(client, task, source.read(), top_k, batch_size, fields)
            _write(answers, source, out, as_json, batch_size)
        return
    narrowing = Narrowing(filter=filter_of(fields))
    with chosen_runner(ray, workers, address, threads) as runner:
        if runner is None:
            ranker = ranker_of(chosen, model, device, home)
            answers = rank_here(ranker, task, source.read(), top_k, batch_size, narrowing)
            _write(answers, source, out, as_json, batch_size)
        elif out is not None:
            ranking = BulkRanking(chosen, model, device, home, top_k, batch_size, narrowing)
            with ranked_in_bulk(ranking, source.read(), out, runner) as answers:
                _write(answers, source, out, as_json, batch_size)


def _refuse_contradictions(
    context: typer.Context,
    texts: list[str] | None,
    file: Path | None,
    column: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    if texts and file:
        raise typer.BadParameter("give texts or --file, not both")
    if column and not file:
        raise typer.BadParameter("--column is for --file")
    if out and as_json:
        raise typer.BadParameter("give --json or --out, not both")
    if context.params["ray"] and not out:
        raise typer.BadParameter("--ray keeps what is finished beside a file: name it with --out")
    if out and out.suffix.lower() != ".parquet":
        raise typer.BadParameter(f"--out writes Parquet: name a file that ends in .parquet, not {out.name}")
    if context.params["server"]:
        local = [name for name in _LOCAL if _is_typed(context, name)]
        if local:
            raise typer.BadParameter(f"with --server, the server decides: leave out --{', --'.join(local)}")


def _is_typed(context: typer.Context, name: str) -> bool:
    typed = context.get_parameter_source(name)
    return typed is not None and typed.name == "COMMANDLINE"


def _source(texts: list[str] | None, file: Path | None, column: str | None) -> QuerySource:
    if file:
        return file_queries(file, column)
    if texts:
        return given_queries(texts)
    if sys.stdin.isatty():
        raise typer.BadParameter("give texts, --file, or a pipe")
    return piped_queries(sys.stdin.buffer)


def _write(answers: Iterator[Answer], source: QuerySource, out: Path | None, as_json: bool, batch_size: int) -> None:
    """Each answer as it comes, with a bar where the answers themselves do not show how far it is."""
    stream = sys.stdout  # a bar puts another in its place, which leads to standard error
    shows_bar = out is not None or not stream.isatty()
    done = rows = truncated = 0
    with _destination(out, as_json, stream) as put, progress_bar("rank") as bar:
        for done, answer in enumerate(answers, start=1):
            put(answer)
            rows += len(answer.targets)
            truncated += answer.truncated
            # What one batch answers is there at once.
            if shows_bar and max(done, source.total or 0) > batch_size:
                bar.update(done, source.total)
    if out:
        typer.echo(f"{out}: {done:,} queries, {rows:,} rows")
    if truncated:
        typer.echo(f"{truncated:,} queries were longer than the encoder takes: their beginning was ranked", err=True)


def _destination(out: Path | None, as_json: bool, stream: IO[str]) -> AbstractContextManager[Put]:
    if out:
        return parquet_rows(out)
    return nullcontext(json_lines(stream) if as_json else tables(stream))

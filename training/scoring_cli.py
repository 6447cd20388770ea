"""`uwe benchmark scoring`: what scoring an index costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.table import Table

from training.benchmark import describe_machine
from training.benchmark_scoring import GROUPED, PADDED, measure_scoring
from training.options import Device
from training.terminal import print_whole
from uwe_core.device import resolve_device
from uwe_core.files import write_text
from uwe_core.token_index import StorageType


def benchmark_scoring(
    dim: Annotated[int, typer.Option(min=1, help="Components of a token: 384 of MiniLM, 768 of MPNet.")] = 384,
    query_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a query.")] = 8,
    queries: Annotated[list[int] | None, typer.Option(min=1, help="Queries of a batch; 1, 8 and 32 if none.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds, after one to warm up.")] = 9,
    device: Device = "cpu",
    out: Annotated[Path | None, typer.Option(help="A JSON file for all figures.")] = None,
) -> None:
    """Time scorers of an index of the size of ESCO's skills, beside the copy bandwidth of the device."""
    on = resolve_device(device)
    report = measure_scoring(dim, query_tokens, queries or [1, 8, 32], get_args(StorageType), rounds, on)
    machine = describe_machine(device)
    typer.echo(
        f"{report.targets:,} targets, {report.tokens:,} tokens of {dim}, {query_tokens} tokens a query, {machine}"
    )
    typer.echo(f"copy: {report.copy_bytes_per_second / 1e9:.1f} GB/s read and written, {report.threads} threads")
    table = Table("queries", "scorer", "storage", "ms", "MB read", "GB/s", "of copy", f"x {PADDED}", f"x {GROUPED}")
    for cost in report.costs:
        table.add_row(
            str(cost.queries), cost.scorer, cost.storage, f"{1000 * cost.seconds:.1f}", f"{cost.index_bytes / 1e6:.0f}",
            f"{cost.bytes_per_second / 1e9:.1f}", f"{report.copy_share(cost):.0%}",
            f"{report.speed_up(cost, PADDED):.1f}", f"{report.speed_up(cost, GROUPED):.1f}",
        )  # fmt: skip
    print_whole(table)
    if out:
        write_text(out, json.dumps({"machine": machine, **report.as_json()}, indent=1) + "\n")

"""`uwe benchmark encoder` and `uwe benchmark waiting`: what encoding costs, and what waiting does to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from training.benchmark_encoder import SHAPES, measure_encoder
from training.benchmark_waiting import measure_waiting
from training.options import Device, Home, Model
from training.terminal import print_whole
from uwe_core.backends.interface import BackendName
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.files import write_text
from uwe_core.home import default_home

Rounds = Annotated[int, typer.Option(min=1, help="Timed rounds; each runs everything once, in turns.")]
Threads = Annotated[int, typer.Option(min=0, help="Of computation; 0 takes the processor quota.")]
Out = Annotated[Path | None, typer.Option(help="A JSON file for all figures.")]


def encoder_command(
    model: Model = "embedded",
    rounds: Rounds = 30,
    threads: Threads = 0,
    device: Device = "cpu",
    out: Out = None,
    home: Home = default_home(),  # noqa: B008
) -> None:
    """Latency of every backend in every precision, interleaved, as ratio to torch in float32."""
    figures = measure_encoder(model, SpaceCatalogue(home).exports, rounds, threads or None, device)
    title = f"{model}, {figures.threads} threads: median ms (ratio to torch float32), {figures.machine}"
    table = Table("backend", *SHAPES, "1 - cosine", title=title)
    for cost in figures.costs:
        cells = (f"{cost.milliseconds[shape]:.1f} ({cost.ratios[shape]:.2f})" for shape in SHAPES)
        table.add_row(cost.backend, *cells, f"{cost.error:.0e}")
    print_whole(table)
    for label, reason in figures.absent.items():
        typer.echo(f"absent: {label}: {reason}")
    _write(figures.as_json(), out)


def waiting_command(
    model: Model = "embedded",
    backend: Annotated[BackendName, typer.Option(help="What encodes, in float32.")] = "torch",
    rounds: Rounds = 15,
    neighbours: Annotated[int, typer.Option(min=1, help="Busy processes beside it.")] = 1,
    threads: Threads = 0,
    out: Out = None,
    home: Home = default_home(),  # noqa: B008
) -> None:
    """Latency of a short query with threads that sleep or spin while they wait, alone and beside busy processes."""
    figures = measure_waiting(model, backend, SpaceCatalogue(home).exports, rounds, neighbours, threads or None)
    ways = list(next(iter(figures.milliseconds.values())))
    table = Table("neighbours", *ways, title=f"{model}, {figures.threads} threads: median ms, {figures.machine}")
    for name, milliseconds in figures.milliseconds.items():
        table.add_row(name, *(f"{milliseconds[way]:.1f}" for way in ways))
    print_whole(table)
    _write(figures.as_json(), out)


def _write(figures: dict[str, Any], out: Path | None) -> None:
    if out:
        write_text(out, json.dumps(figures, indent=1) + "\n")

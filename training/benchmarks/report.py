"""What a benchmark found, in the same form for all of them: JSON, Markdown, tables for the terminal."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.table import Table

from training.benchmark import describe_machine
from training.benchmarks.percentiles import Ratio, Summary
from training.figure_file import save_figure
from uwe_core.device import cpu_quota
from uwe_core.files import write_text

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")
# Above this share of the processors at work before the run began, its times are of the neighbours too.
_QUIET_LOAD = 0.2


@dataclass(frozen=True)
class Grid:
    """A table: a title, a header and rows of text."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """With its title as a heading."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return f"## {self.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def table(self) -> Table:
        """For the terminal."""
        table = Table(*self.header, title=self.title, title_justify="left")
        for row in self.rows:
            table.add_row(*row)
        return table


@dataclass(frozen=True)
class BenchmarkReport:
    """One run.

    Attributes:
        name: of the benchmark and of its files.
        facts: what was measured, where, and how.
        grids: for people.
        figures: every number, for machines.
        notes: what a reader must know.
        plots: drawn only when the report is written, by name.
    """

    name: str
    facts: Mapping[str, Any]
    grids: Sequence[Grid]
    figures: Any
    notes: Sequence[str] = ()
    plots: Mapping[str, Callable[[], Figure]] = field(default_factory=dict)

    def markdown(self) -> str:
        """Facts, tables, notes and plots."""
        facts = "\n".join(f"- {name}: {value}" for name, value in self.facts.items())
        parts = [f"# uwe benchmark {self.name}", facts, *(grid.markdown() for grid in self.grids)]
        parts += ["\n".join(f"- {note}" for note in self.notes)] if self.notes else []
        parts += [f"![{plot}]({self.name}-{plot}.png)" for plot in self.plots]
        return "\n\n".join(parts) + "\n"

    def write(self, folder: Path) -> list[Path]:
        """Write `NAME.json`, `NAME.md` and `NAME-PLOT.png`."""
        content = {"facts": dict(self.facts), "figures": self.figures, "notes": list(self.notes)}
        files = [folder / f"{self.name}.json", folder / f"{self.name}.md"]
        write_text(files[0], json.dumps(content, indent=1) + "\n")
        write_text(files[1], self.markdown())
        for plot, draw in self.plots.items():
            files.append(folder / f"{self.name}-{plot}.png")
            save_figure(draw(), files[-1])
        return files


def machine_facts(device: str) -> dict[str, Any]:
    """The processor and its flags, what computes on it, and how busy it was before."""
    busy = os.getloadavg()[0] / cpu_quota()
    return {
        "machine": f"{_processor()}; {describe_machine(device)}",
        "versions": f"unified-work-embeddings {version('unified-work-embeddings')}, torch {torch.__version__}, "
        f"Python {platform.python_version()}",
        "threads of this process": torch.get_num_threads(),
        "thread variables": " ".join(f"{name}={os.environ[name]}" for name in _THREAD_VARIABLES if name in os.environ)
        or "none set",
        "load before": f"{busy:.2f} of the processors" + ("" if busy <= _QUIET_LOAD else ": NOT idle, times are noise"),
    }


def milliseconds(value: float) -> str:
    """Three digits are as many as repeated runs agree on."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def summary_cells(summary: Summary | None) -> list[str]:
    """p50, p95, p99; dashes where nothing was measured."""
    if summary is None:
        return ["-"] * 3
    return [milliseconds(value) for value in (summary.p50, summary.p95, summary.p99)]


def ratio_cell(ratio: Ratio) -> str:
    """Median over rounds, and the range."""
    return f"{ratio.median:.2f} ({ratio.lowest:.2f} to {ratio.highest:.2f})"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

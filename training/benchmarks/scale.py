"""`uwe benchmark scale`: how time and memory grow with targets and queries, in this machine's memory."""

from __future__ import annotations

import itertools
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from training.benchmarks.filled_space import bytes_needed, filled_space
from training.benchmarks.latency import Question
from training.benchmarks.plots import over_targets
from training.benchmarks.real_queries import real_queries
from training.benchmarks.report import BenchmarkReport, Grid, machine_facts, milliseconds
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.device import cpu_quota
from uwe_core.model import UweModel
from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.token_index import StorageType, open_or_build

TARGETS = (1_000, 10_000, 100_000, 1_000_000)
QUERIES = (1, 4, 16, 64, 256)
HEADER = ("targets", "tokens", "index, MB", "queries", "p50, ms", "p50 a query, ms", "most memory, MB", "")
_REPEATS = 7
# Of the memory that is free before a size is built: the rest is for the machine's other work.
_USABLE_SHARE = 0.7


@dataclass(frozen=True)
class ScaleCell:
    """One number of targets and one of queries.

    Attributes:
        seconds: median of a call with all queries; None where it was skipped.
        peak_bytes: most memory the process had so far, loading and smaller cells included.
        skipped: why, where it was.
    """

    targets: int
    queries: int
    tokens: int = 0
    index_bytes: int = 0
    seconds: float | None = None
    peak_bytes: int = 0
    skipped: str = ""


@dataclass(frozen=True)
class ScalePlan:
    """Which sizes.

    Attributes:
        targets, queries: sizes, ascending.
        dtype: in which token embeddings are stored.
        cell_seconds: a cell that would take longer for a single call is skipped, and one that takes less is repeated
            no longer than this.
    """

    targets: Sequence[int] = TARGETS
    queries: Sequence[int] = QUERIES
    dtype: StorageType = "float32"
    cell_seconds: float = 8.0


def measure_scale(question: Question, model: str, plan: ScalePlan, tell: Callable[[str], None]) -> BenchmarkReport:
    """Each number of targets in a process of its own, so that memory is its own.

    Raises:
        UweError: a model, taxonomy or task that cannot be.
    """
    facts = machine_facts(question.device)
    queries = real_queries(question.data, question.task)
    cells: list[ScaleCell] = []
    for size in plan.targets:
        with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as process:
            texts = list(queries.take(max(plan.queries)))
            cells += process.submit(_measure_size, question, model, size, texts, plan).result()
        tell(" ".join(scale_cells(cells[-1])))
    facts |= {
        "model": f"{Path(model).name}, float32, index in {plan.dtype}",
        "queries": f"{queries.source}, the same ones repeated where a call takes more",
        "targets": f"the space of {question.task} over {question.taxonomy}; what is missing to a size is filled up "
        "with its targets again, their token embeddings disturbed by a tenth of their norm at random",
    }
    return scale_report(cells, facts)


def scale_report(cells: Sequence[ScaleCell], facts: dict[str, Any]) -> BenchmarkReport:
    """The report."""
    return BenchmarkReport(
        name="scale",
        facts=facts,
        grids=[Grid("Ranker.rank by number of targets and queries", HEADER, [scale_cells(cell) for cell in cells])],
        figures=[asdict(cell) for cell in cells],
        notes=("Most memory is of the process so far: Python, model, index, and all rows above of the same size.",),
        plots={"targets": lambda: over_targets(_curves(cells))},
    )


def scale_cells(cell: ScaleCell) -> list[str]:
    """Cells of `HEADER`."""
    if cell.seconds is None:
        return [f"{cell.targets:,}", "", "", str(cell.queries), "", "", "", f"skipped: {cell.skipped}"]
    return [
        f"{cell.targets:,}", f"{cell.tokens:,}", f"{cell.index_bytes / 1e6:,.0f}", str(cell.queries),
        milliseconds(1000 * cell.seconds), milliseconds(1000 * cell.seconds / cell.queries),
        f"{cell.peak_bytes / 1e6:,.0f}", "",
    ]  # fmt: skip


def _curves(cells: Sequence[ScaleCell]) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for cell in cells:
        if cell.seconds is not None:
            curves.setdefault(f"{cell.queries} queries", []).append((cell.targets, 1000 * cell.seconds))
    return curves


def _measure_size(question: Question, model: str, size: int, texts: list[str], plan: ScalePlan) -> list[ScaleCell]:
    torch.set_num_threads(cpu_quota())
    task = question.ranking_task
    catalogue = SpaceCatalogue(question.home)
    loaded = UweModel.from_pretrained(model, device=question.device)
    space = catalogue.open(task.target_space)
    index = open_or_build(catalogue.indexes, loaded.encoder, space, plan.dtype)
    usable = _USABLE_SHARE * psutil.virtual_memory().available
    needed = bytes_needed(index, size)
    if needed > usable:
        reason = f"the index needs {needed / 1e9:.1f} GB, {usable / 1e9:.1f} GB may be used"
        return [ScaleCell(size, count, skipped=reason) for count in plan.queries]
    filled, filled_index = filled_space(space, index, size)
    ranker = Ranker(loaded, {space.info.name: RankableSpace(loaded, filled, filled_index)}, {task.name: task})
    return measure_cells(ranker, task.name, texts, plan)


def measure_cells(ranker: Ranker, task: str, texts: Sequence[str], plan: ScalePlan) -> list[ScaleCell]:
    """Each number of queries in turn, of the texts, which begin anew where more are needed."""
    (summary,) = ranker.space_summaries().values()
    empty = ScaleCell(summary.targets, 0, summary.tokens, summary.nbytes)
    cells: list[ScaleCell] = []
    for count in plan.queries:
        queries = [texts[place % len(texts)] for place in range(count)]
        cells.append(_measure_cell(ranker, task, queries, empty, cells, plan.cell_seconds))
    return cells


def _measure_cell(
    ranker: Ranker, task: str, queries: list[str], empty: ScaleCell, before: Sequence[ScaleCell], limit: float
) -> ScaleCell:
    facts = {**asdict(empty), "queries": len(queries)}
    if before and before[-1].seconds is None:
        return ScaleCell(**{**facts, "skipped": before[-1].skipped})
    # Scores of all targets, and as much again while the best are chosen.
    scores = 2 * 4 * len(queries) * empty.targets
    usable = _USABLE_SHARE * psutil.virtual_memory().available
    if scores > usable:
        return ScaleCell(
            **{**facts, "skipped": f"scores need {scores / 1e9:.1f} GB, {usable / 1e9:.1f} GB may be used"}
        )
    expected = (before[-1].seconds or 0.0) * len(queries) / before[-1].queries if before else 0.0
    if expected > limit:
        return ScaleCell(**{**facts, "skipped": f"a call would take about {expected:.0f} s"})
    seconds: list[float] = []
    for _ in itertools.takewhile(lambda _: sum(seconds) < limit, range(_REPEATS + 1)):
        start = time.perf_counter()
        ranker.rank(task, queries)
        seconds.append(time.perf_counter() - start)
    kept = seconds[1:] or seconds  # the first warms up, where there is time for another
    return ScaleCell(**{**facts, "seconds": statistics.median(kept), "peak_bytes": peak_bytes()})


def peak_bytes() -> int:
    """Most memory that this process has had."""
    # kilobytes on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

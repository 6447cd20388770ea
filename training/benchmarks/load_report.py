"""What `uwe benchmark load` found: a table for each server, and beside each other what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from training.benchmarks.load import LoadPlan, LoadRow, LoadRun
from training.benchmarks.plots import over_rate
from training.benchmarks.report import BenchmarkReport, Grid, milliseconds, ratio_cell, summary_cells

ROWS_HEADER = (
    "", "rate, 1/s", "answered, 1/s", "p50, ms", "p95, ms", "p99, ms", "by status", "turned away: p50, p99, ms",
    "p99 until sent, ms", "at once", "computed",
)  # fmt: skip
HELD_HEADER = (
    "", "holds, 1/s", "by round", "p99 there, ms", "the first holds, times this", "not answered up to there",
    "above it: turned away", "above it: failed", "the first's best targets", "what",
)  # fmt: skip


def load_report(
    runs: Sequence[LoadRun], plan: LoadPlan, facts: dict[str, Any], shared: Mapping[str, float] | None = None,
    absent: Mapping[str, str] | None = None,
) -> BenchmarkReport:  # fmt: skip
    """The report.

    Args:
        runs: all that was measured; ratios are those of the first to the others.
        plan: how.
        facts: of machine and question.
        shared: by name, the share of the first one's best targets that a server gives too.
        absent: why others do not take part.
    """
    shared = shared or {}
    held = [_held_cells(run, runs[0], shared.get(run.name)) for run in runs]
    grids = [Grid("What holds", HELD_HEADER, held)]
    grids += [Grid(f"Many callers: {run.name}", ROWS_HEADER, [load_cells(row) for row in run.rows]) for run in runs]
    if absent:
        grids.append(Grid("Not measured", ("", "why"), [[name, why] for name, why in absent.items()]))
    return BenchmarkReport(
        name="load",
        facts={**facts, **{f"saturation of {run.name}": saturation_in_words(run, plan) for run in runs}},
        grids=grids,
        figures={
            "p99_bound_milliseconds": plan.p99_ms,
            "servers": [_server_figures(run, runs[0], shared.get(run.name)) for run in runs],
            "absent": dict(absent or {}),
        },
        notes=(
            "Times run from when a request was due, whether or not it could be sent then.",
            "The process that sends shares the cores with the servers; `p99 until sent` is how late it was, "
            "or how long a request waited for a connection.",
            "Searches go rate by rate in turns; a ratio is of the rates that held in one round: the median round, and "
            "the range.",
        ),
        plots={"rates": lambda: _curves(runs, plan)},
    )


def saturation_in_words(run: LoadRun, plan: LoadPlan) -> str:
    """What holds, and what does not."""
    bound = f"p99 within {plan.p99_ms:g} ms and every request answered"
    if run.held is None:
        return f"not even {min(found.lowest_tried for found in run.found):.3g} requests a second hold ({bound})"
    if not any(found.broke for found in run.found):
        return f"more than {run.held:.3g} requests a second: the highest rate tried held ({bound})"
    return f"{run.held:.3g} requests a second hold ({bound})"


def load_cells(row: LoadRow) -> list[str]:
    """Cells of `ROWS_HEADER`."""
    result = row.result
    statuses = ", ".join(f"{status}: {count}" for status, count in result.statuses.items())
    shed = result.shed
    away = "" if shed is None else f"{milliseconds(shed.p50)}, {milliseconds(shed.p99)}"
    return [
        row.name, f"{result.rate:.3g}", f"{result.achieved:.3g}", *summary_cells(result.answered), statuses, away,
        milliseconds(result.waited_for_connection_ms), str(result.most_at_once),
        "" if row.computed is None else row.computed.in_words(),
    ]  # fmt: skip


def row_figures(row: LoadRow) -> dict[str, Any]:
    """Everything but single requests, for JSON."""
    result = row.result
    return {
        "name": row.name, "round": row.turn, "rate": result.rate, "seconds": result.seconds,
        "requests": len(result.outcomes), "answered_per_second": result.achieved, "statuses": result.statuses,
        "failures": result.failures, "most_at_once": result.most_at_once,
        "milliseconds": asdict(result.answered) if result.answered else None,
        "turned_away_milliseconds": asdict(result.shed) if result.shed else None,
        "p99_until_sent_milliseconds": result.waited_for_connection_ms,
        "computed": None if row.computed is None else asdict(row.computed),
    }  # fmt: skip


def _held_cells(run: LoadRun, first: LoadRun, shared: float | None) -> list[str]:
    by_round = ", ".join("none" if found.held is None else f"{found.held:.3g}" for found in run.found)
    there = [found.at_held.answered for found in run.found if found.at_held is not None]
    p99 = ", ".join(milliseconds(answered.p99) for answered in there if answered is not None)
    held = "none" if run.held is None else f"{run.held:.3g}"
    ratio = first.times(run)
    over = "" if run is first else "none of one" if ratio is None else ratio_cell(ratio)
    below, away, failed = _unanswered(run)
    same = "" if run is first or shared is None else f"{shared:.0%}"
    return [run.name, held, by_round, p99, over, str(below), str(away), str(failed), same, run.note]


def _server_figures(run: LoadRun, first: LoadRun, shared: float | None) -> dict[str, Any]:
    ratio = first.times(run)
    below, away, failed = _unanswered(run)
    return {
        "name": run.name, "note": run.note, "held": run.held, "held_by_round": [found.held for found in run.found],
        "broke": any(found.broke for found in run.found),
        "first_holds_times_this": None if ratio is None else asdict(ratio),
        "unanswered_up_to_held": below, "turned_away_above": away, "failed_above": failed,
        "shared_best_targets": shared, "rows": [row_figures(row) for row in run.rows],
    }  # fmt: skip


def _unanswered(run: LoadRun) -> tuple[int, int, int]:
    """Requests without an answer at rates up to what holds; above it those turned away, and those that failed."""
    calm = [row.result for row in run.rows if _is_alone(row)]
    below = [result for result in calm if result.rate <= (run.held or 0)]
    above = [result for result in calm if result.rate > (run.held or 0)]
    away = sum(result.shed.count for result in above if result.shed is not None)
    return (
        sum(outcome.status != 200 for result in below for outcome in result.outcomes),
        away,
        sum(result.failures for result in above),
    )


def _is_alone(row: LoadRow) -> bool:
    return "busy" not in row.name


def _curves(runs: Sequence[LoadRun], plan: LoadPlan) -> Any:
    """All percentiles of one server; the 99th alone of several."""
    shown = ("p50", "p95", "p99") if len(runs) == 1 else ("p99",)
    curves: dict[str, list[tuple[float, float]]] = {}
    for run in runs:
        for name in shown:
            curves[name if len(runs) == 1 else f"{run.name}, {name}"] = [
                (row.result.rate, getattr(row.result.answered, name))
                for row in run.rows
                if _is_alone(row) and row.result.answered is not None
            ]
    return over_rate(curves, plan.p99_ms)

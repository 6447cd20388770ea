"""`uwe benchmark load`: many callers who do not wait for one another, up to and beyond what the service holds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.benchmarks.arrivals import ArrivalKind, arrival_times
from training.benchmarks.latency import Question
from training.benchmarks.open_loop import Caller, LoadResult
from training.benchmarks.plots import over_rate
from training.benchmarks.processes import busy_cores
from training.benchmarks.real_queries import real_queries
from training.benchmarks.report import BenchmarkReport, Grid, machine_facts, milliseconds, summary_cells
from training.benchmarks.saturation import Saturation, find_saturation
from training.benchmarks.service_process import ServiceVariant, running_service
from uwe_core.device import cpu_quota

HEADER = (
    "", "rate, 1/s", "answered, 1/s", "p50, ms", "p95, ms", "p99, ms", "by status", "turned away: p50, p99, ms",
    "p99 until sent, ms",
)  # fmt: skip
# A run may answer what it accepted after its last request is due; the neighbours must keep busy until then.
_TAIL_SECONDS = 20.0

# Told of each row when it is measured.
Tell = Callable[[str], None]


@dataclass(frozen=True)
class LoadPlan:
    """How a service is loaded.

    Attributes:
        rates: fixed ones to measure before the search, requests a second.
        first_rate: the search begins with it.
        p99_ms: that a rate must keep.
        seconds: over which requests are due, at each rate.
        connections: open at a time.
        kind: of arrivals.
        doublings: of the rate, at most.
        narrowings: between the last rate that held and the first that did not.
        beyond: times the rate that broke, to see what is turned away and how.
        most_requests: at one rate; its seconds are cut to keep this.
        busy: whether to measure once beside processes that keep all cores busy.
    """

    rates: Sequence[float] = ()
    first_rate: float = 8.0
    p99_ms: float = 250.0
    seconds: float = 5.0
    connections: int = 256
    kind: ArrivalKind = "poisson"
    doublings: int = 10
    narrowings: int = 2
    beyond: float = 2.0
    most_requests: int = 20_000
    busy: bool = True

    def seconds_at(self, rate: float) -> float:
        """How long requests are due at a rate."""
        return min(self.seconds, self.most_requests / rate)


@dataclass(frozen=True)
class LoadRow:
    """One measured rate and why it was measured."""

    name: str
    result: LoadResult


class LoadRun:
    """Loads one service, row by row."""

    def __init__(self, caller: Caller, texts: Sequence[str], top_k: int, plan: LoadPlan, tell: Tell) -> None:
        self._caller = caller
        self._bodies = [{"query": text, "top_k": top_k} for text in texts]
        self._plan = plan
        self._tell = tell
        self._sent = 0
        self.rows: list[LoadRow] = []

    def measure(self, name: str, rate: float) -> LoadResult:
        """Load the service at a rate, with queries that were not asked yet while there are such."""
        seconds = self._plan.seconds_at(rate)
        due = arrival_times(self._plan.kind, rate, seconds, seed=len(self.rows))
        start = self._sent % len(self._bodies)
        self._sent += len(due)
        result = self._caller.send(self._bodies[start:] + self._bodies[:start], due, rate, seconds)
        self.rows.append(LoadRow(name, result))
        self._tell(" ".join(load_cells(self.rows[-1])))
        return result

    def whole(self) -> Saturation:
        """Fixed rates, the search, beyond it, calm again, and beside busy cores."""
        plan = self._plan
        for rate in plan.rates:
            self.measure("fixed rate", rate)
        found = find_saturation(
            lambda rate: self.measure("search", rate), plan.first_rate, plan.p99_ms, plan.doublings, plan.narrowings
        )
        if found.broke:
            self.measure(f"{plan.beyond:g} times the rate that broke", plan.beyond * found.highest_tried)
        calm = (found.held or plan.first_rate) / 2
        time.sleep(1.0)  # what was accepted above saturation is answered first
        self.measure("half of what it holds", calm)
        if plan.busy:
            with busy_cores(cpu_quota(), plan.seconds_at(calm) + _TAIL_SECONDS):
                self.measure(f"the same beside {cpu_quota()} busy cores", calm)
        return found


def measure_load(
    question: Question, model: str, variant: ServiceVariant, plan: LoadPlan, tell: Tell
) -> BenchmarkReport:
    """Start the service and load it.

    Raises:
        UweError: a model, taxonomy, task or setting that cannot be.
    """
    facts = machine_facts(question.device)
    queries = real_queries(question.data, question.task)
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        service = stack.enter_context(running_service(variant.over(**question.settings(model)), logs))
        caller = Caller(f"{service.url}/rank/{question.task}", plan.connections)
        run = LoadRun(caller, queries.texts, question.top_k, plan, tell)
        caller.send([{"query": queries.texts[0]}], arrival_times("uniform", 4, 1), 4, 1)  # to warm up
        found = run.whole()
    settings = "".join(f", {key}={value}" for key, value in variant.settings.items())
    facts |= {
        "service": f"{Path(model).name}, {service.how}{settings}",
        "task": f"{question.task} over {question.taxonomy}, top {question.top_k}, one query a request",
        "queries": f"{queries.source}, in turn",
        "requests": f"{plan.kind} arrivals over {plan.seconds:g} s a rate, at most {plan.connections} connections",
    }
    return load_report(run.rows, found, plan, facts)


def load_report(rows: Sequence[LoadRow], found: Saturation, plan: LoadPlan, facts: dict[str, Any]) -> BenchmarkReport:
    """The report."""
    return BenchmarkReport(
        name="load",
        facts={**facts, "saturation": saturation_in_words(found, plan)},
        grids=[Grid("Many callers", HEADER, [load_cells(row) for row in rows])],
        figures={"held": found.held, "broke": found.broke, "rows": [load_figures(row) for row in rows]},
        notes=(
            "Times run from when a request was due, whether or not it could be sent then.",
            "The process that sends shares the cores with the service; `p99 until sent` is how late it was, "
            "or how long a request waited for a connection.",
        ),
        plots={"rates": lambda: _curves(rows, plan)},
    )


def saturation_in_words(found: Saturation, plan: LoadPlan) -> str:
    """What holds, and what does not."""
    bound = f"p99 within {plan.p99_ms:g} ms and every request answered"
    if found.held is None:
        return f"not even {found.highest_tried:g} requests a second hold ({bound})"
    if not found.broke:
        return f"more than {found.held:.3g} requests a second: the highest rate tried held ({bound})"
    return f"{found.held:.3g} requests a second hold ({bound})"


def load_cells(row: LoadRow) -> list[str]:
    """Cells of `HEADER`."""
    result = row.result
    statuses = ", ".join(f"{status}: {count}" for status, count in result.statuses.items())
    shed = result.shed
    away = "" if shed is None else f"{milliseconds(shed.p50)}, {milliseconds(shed.p99)}"
    return [
        row.name, f"{result.rate:.3g}", f"{result.achieved:.3g}", *summary_cells(result.answered), statuses, away,
        milliseconds(result.waited_for_connection_ms),
    ]  # fmt: skip


def load_figures(row: LoadRow) -> dict[str, Any]:
    """Everything but single requests, for JSON."""
    result = row.result
    return {
        "name": row.name, "rate": result.rate, "seconds": result.seconds, "requests": len(result.outcomes),
        "answered_per_second": result.achieved, "statuses": result.statuses, "failures": result.failures,
        "milliseconds": asdict(result.answered) if result.answered else None,
        "turned_away_milliseconds": asdict(result.shed) if result.shed else None,
        "p99_until_sent_milliseconds": result.waited_for_connection_ms,
    }  # fmt: skip


def _curves(rows: Sequence[LoadRow], plan: LoadPlan) -> Any:
    shown = [row.result for row in rows if "busy" not in row.name]
    summaries = [result.answered for result in shown]
    curves = {
        name: [getattr(summary, name) if summary else None for summary in summaries] for name in ("p50", "p95", "p99")
    }
    return over_rate([result.rate for result in shown], curves, plan.p99_ms)

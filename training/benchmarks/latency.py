"""`uwe benchmark latency`: one caller, over HTTP and as a function call, in turns."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from training.benchmarks.closed_loop import Measured, Progress, Rounds, take_turns
from training.benchmarks.contestants import (
    AskedAgain,
    Contestant,
    DirectRanker,
    health_contestant,
    kept_open,
    refusal_contestant,
    service_contestant,
)
from training.benchmarks.direct_ranker import direct_ranker
from training.benchmarks.percentiles import Ratio
from training.benchmarks.plots import spread
from training.benchmarks.real_queries import real_queries
from training.benchmarks.report import BenchmarkReport, Grid, machine_facts, ratio_cell, summary_cells
from training.benchmarks.service_process import REMEMBER_NOTHING, ServiceVariant, running_service
from uwe_core.backends.choosing import Candidate
from uwe_core.tasks import RankingTask, standard_task
from uwe_core.token_storage import SERVED_STORAGE, StorageType

HEADER = ("", "p50, ms", "p95, ms", "p99, ms", "answers", "times the first row", "what")


@dataclass(frozen=True)
class Question:
    """What is asked of whom.

    Attributes:
        task: one of the six.
        taxonomy: `sample`, or one imported under `home`.
        data: where queries come from: `sample`, or a folder in the layout of docs/evaluation.md.
        home: taxonomies and token indexes.
        top_k: targets wanted.
        device: of the service and of the ranker.
    """

    task: str
    taxonomy: str
    data: str
    home: Path
    top_k: int = 10
    device: str = "auto"

    @property
    def ranking_task(self) -> RankingTask:
        """The task itself.

        Raises:
            UnknownTaskError: there is none of that name.
        """
        return standard_task(self.task, self.taxonomy)

    def settings(self, model: str) -> dict[str, str]:
        """The service's, with nothing remembered."""
        own = {"taxonomy": self.taxonomy, "home": str(self.home), "device": self.device, "model": model}
        return {**own, **REMEMBER_NOTHING}


def measure_latency(
    question: Question, models: Sequence[str], variants: Sequence[ServiceVariant], plan: Rounds, progress: Progress
) -> BenchmarkReport:
    """Every variant with every model, each beside `Ranker.rank` in the precision and threads it chose.

    Raises:
        UweError: a model, taxonomy, task or setting that cannot be.
    """
    question.ranking_task  # noqa: B018 - refuses an unknown one before anything is started
    facts = machine_facts(question.device)
    queries = real_queries(question.data, question.task)
    with ExitStack() as stack:
        contestants = _contestants(stack, question, models, variants)
        measured = take_turns(contestants, queries.take(plan.texts), plan, progress)
    return latency_report(measured, {**facts, **question_facts(question, queries.source, plan)})


def latency_report(measured: Sequence[Measured], facts: dict[str, Any]) -> BenchmarkReport:
    """The report; ratios are over the first row."""
    return BenchmarkReport(
        name="latency",
        facts=facts,
        grids=[Grid("One caller, milliseconds a query", HEADER, [latency_row(one, measured[0]) for one in measured])],
        figures=[figures_of(one, measured[0]) for one in measured],
        notes=("Ratios are of medians by round: the median round, and the range over rounds.",),
        plots={"spread": lambda: spread({one.name: one.all_seconds for one in measured})},
    )


def question_facts(question: Question, source: str, plan: Rounds) -> dict[str, Any]:
    """What was asked, for the report."""
    return {
        "task": f"{question.task} over {question.taxonomy}, top {question.top_k}",
        "queries": f"{source}; {plan.rounds} rounds of {plan.queries} and {plan.warm_up} to warm up at most, "
        "each asked once of every row",
    }


def latency_row(measured: Measured, base: Measured) -> list[str]:
    """Cells of `HEADER`."""
    summary = measured.summary
    over = "" if measured is base else ratio_cell(measured.over(base))
    return [measured.name, *summary_cells(summary), str(summary.count), over, measured.note]


def figures_of(measured: Measured, base: Measured) -> dict[str, Any]:
    """Everything, for JSON."""
    over: Ratio = measured.over(base)
    by_round = [[round(1000 * second, 4) for second in seconds] for seconds in measured.seconds]
    return {
        "name": measured.name, "note": measured.note, "milliseconds": asdict(measured.summary),
        "over_first": asdict(over), "milliseconds_by_round": by_round,
    }  # fmt: skip


def _contestants(
    stack: ExitStack, question: Question, models: Sequence[str], variants: Sequence[ServiceVariant]
) -> list[Contestant]:
    logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    contestants: list[Contestant] = []
    floor: list[Contestant] = []
    for model in models:
        shown = Path(model).name
        directs: dict[tuple[Candidate, StorageType, int], Contestant] = {}
        for variant in variants:
            service = stack.enter_context(running_service(variant.over(**question.settings(model)), logs))
            client = stack.enter_context(kept_open(service.url))
            note = f"HTTP, {service.how}" + "".join(f", {key}={value}" for key, value in variant.settings.items())
            contestants.append(
                service_contestant(f"{shown}: {variant.name}", client, question.task, question.top_k, note)
            )
            storage = TypeAdapter(StorageType).validate_python(variant.settings.get("storage", SERVED_STORAGE))
            if (service.way, storage, service.threads) not in directs:
                ranker = direct_ranker(
                    model, question.taxonomy, question.task, question.home, question.device,
                    service.way, storage, service.threads,
                )  # fmt: skip
                name = f"{shown}: Ranker.rank, index in {storage}"
                direct = DirectRanker(name, ranker, question.task, question.top_k, service.threads)
                directs[service.way, storage, service.threads] = direct
            floor = floor or [health_contestant(client), refusal_contestant(client, question.top_k)]
        contestants += directs.values()
        contestants.append(_remembering(stack, question, model, variants[0], logs))
    return [*contestants, *floor]


def _remembering(stack: ExitStack, question: Question, model: str, variant: ServiceVariant, logs: Path) -> Contestant:
    """The first variant in a process of its own with the caches that it has by default."""
    settings = {key: value for key, value in question.settings(model).items() if key not in REMEMBER_NOTHING}
    service = stack.enter_context(running_service(variant.over(**settings), logs))
    client = stack.enter_context(kept_open(service.url))
    name = f"{Path(model).name}: {variant.name}, asked again"
    return AskedAgain(name, service_contestant(name, client, question.task, question.top_k))

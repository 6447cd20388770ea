"""`uwe benchmark compare`: the service beside other ways to do the same, in turns, in one run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.benchmarks.agreement import share_of_same
from training.benchmarks.closed_loop import Measured, Progress, Rounds, take_turns
from training.benchmarks.contestants import Contestant, DirectRanker, kept_open, service_contestant
from training.benchmarks.direct_ranker import direct_ranker
from training.benchmarks.latency import Question, figures_of, question_facts
from training.benchmarks.peer_programs import PEERS, Peer, PeerInputs, start_fastest
from training.benchmarks.percentiles import Ratio
from training.benchmarks.plots import spread
from training.benchmarks.real_queries import real_queries
from training.benchmarks.report import BenchmarkReport, Grid, machine_facts, ratio_cell, summary_cells
from training.benchmarks.service_process import ServiceVariant, running_service
from uwe_core.backends.choosing import Candidate
from uwe_core.device import cpu_quota
from uwe_core.errors import InputError, UweError

HEADER = ("", "p50, ms", "p95, ms", "p99, ms", "times the service", "same top targets", "what")
FLOAT32_TORCH: Candidate = ("torch", "float32")
SAME_WEIGHTS = ServiceVariant("service in float32", {"backend": "torch", "precision": "float32", "storage": "float32"})
_TRIAL_QUERIES = 25


@dataclass
class Entrants:
    """Who takes part.

    Attributes:
        contestants: the service in float32 first.
        same: names of those whose answers must be the first one's.
        absent: why others do not take part.
        trials: median milliseconds by number of threads, of each peer.
    """

    contestants: list[Contestant] = field(default_factory=list)
    same: set[str] = field(default_factory=set)
    absent: dict[str, str] = field(default_factory=dict)
    trials: dict[str, dict[int, float]] = field(default_factory=dict)


def measure_compare(
    question: Question, model: str, variants: Sequence[ServiceVariant], peers: Sequence[Peer], environments: Path,
    plan: Rounds, progress: Progress,
) -> BenchmarkReport:  # fmt: skip
    """The service in float32, its variants, `Ranker.rank`, and the peers, each with its best number of threads.

    Raises:
        InputError: a task or model that the peers cannot do.
        UweError: a model, taxonomy, task or setting that cannot be.
    """
    facts = machine_facts(question.device)
    queries = real_queries(question.data, question.task)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ranker = direct_ranker(
            model, question.taxonomy, question.task, question.home, question.device, FLOAT32_TORCH, "float32"
        )
        inputs = PeerInputs(folder, environments, ranker, question.task, question.top_k)
        inputs.write()
        entered = Entrants()
        _enter_service(entered, stack, question, model, [SAME_WEIGHTS, *variants], folder)
        direct = DirectRanker("Ranker.rank in float32", ranker, question.task, question.top_k, cpu_quota())
        entered.contestants.append(direct)
        entered.same.add(direct.name)
        for peer in peers:
            _enter_peer(entered, stack, peer, inputs, list(queries.take(_TRIAL_QUERIES)))
        measured = take_turns(entered.contestants, queries.take(plan.texts), plan, progress)
    facts |= {"model": Path(model).name, **question_facts(question, queries.source, plan)}
    return compare_report(measured, entered, facts)


def compare_report(measured: Sequence[Measured], entered: Entrants, facts: dict[str, Any]) -> BenchmarkReport:
    """The report; ratios are over the service in float32, and so are answers."""
    agreement = {one.name: _agreement(one, measured[0]) for one in measured if one.name in entered.same}
    rows = [_row(one, measured[0], agreement) for one in measured]
    grids = [Grid("One caller, milliseconds a query", HEADER, rows)]
    if entered.absent:
        grids.append(Grid("Not measured", ("", "why"), [[name, why] for name, why in entered.absent.items()]))
    trials = [
        f"{name}: " + ", ".join(f"{threads} threads {median:.1f} ms" for threads, median in medians.items())
        for name, medians in entered.trials.items()
    ]
    return BenchmarkReport(
        name="compare",
        facts=facts,
        grids=grids,
        figures={
            "rows": [{**figures_of(one, measured[0]), "same_top": agreement.get(one.name)} for one in measured],
            "absent": entered.absent,
            "thread_trials": entered.trials,
        },
        notes=("Ratios are of medians by round: the median round, and the range over rounds.", *trials),
        plots={"spread": lambda: spread({one.name: one.all_seconds for one in measured})},
    )


def _row(one: Measured, base: Measured, agreement: Mapping[str, float]) -> list[str]:
    over: Ratio = one.over(base)
    same = f"{agreement[one.name]:.0%}" if one.name in agreement else "another function"
    ratio = "" if one is base else ratio_cell(over)
    return [one.name, *summary_cells(one.summary), ratio, "" if one is base else same, one.note]


def _agreement(one: Measured, base: Measured) -> float:
    answers = ([answer.best for taken in measured.rounds for answer in taken] for measured in (one, base))
    return share_of_same(*answers)


def _enter_service(
    entered: Entrants,
    stack: ExitStack,
    question: Question,
    model: str,
    variants: Sequence[ServiceVariant],
    folder: Path,
) -> None:
    for variant in variants:
        service = stack.enter_context(running_service(variant.over(**question.settings(model)), folder))
        client = stack.enter_context(kept_open(service.url))
        note = f"HTTP, {service.how}"
        entered.contestants.append(service_contestant(variant.name, client, question.task, question.top_k, note))
        entered.same.add(variant.name)


def _enter_peer(entered: Entrants, stack: ExitStack, peer: Peer, inputs: PeerInputs, texts: list[str]) -> None:
    """Find its best number of threads and start it with that, or note why it does not take part."""
    try:
        contestant, entered.trials[peer.name] = start_fastest(peer, inputs, texts, stack)
    except UweError as error:
        entered.absent[peer.name] = str(error)
        return
    entered.contestants.append(contestant)
    if peer.same_answers:
        entered.same.add(contestant.name)


def chosen_peers(names: Sequence[str]) -> list[Peer]:
    """Peers by name; all where none is named.

    Raises:
        InputError: there is none of that name.
    """
    known = {peer.name: peer for peer in PEERS}
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise InputError(f"no peer '{unknown[0]}'; there are: {', '.join(known)}")
    return [known[name] for name in names] if names else list(PEERS)

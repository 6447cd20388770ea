"""`uwe benchmark load`: the service under several settings, and others beside it, loaded in turns."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from training.benchmarks.agreement import share_of_shared
from training.benchmarks.compare import FLOAT32_TORCH
from training.benchmarks.computed import computed_by
from training.benchmarks.contestants import HttpContestant, kept_open, service_contestant
from training.benchmarks.direct_ranker import direct_ranker
from training.benchmarks.latency import Question
from training.benchmarks.load import LoadPlan, LoadRun, Tell, load_in_turns
from training.benchmarks.load_report import load_report
from training.benchmarks.open_loop import Caller
from training.benchmarks.peer_programs import LOADABLE, Peer, PeerInputs, start_peer, thread_numbers
from training.benchmarks.real_queries import real_queries
from training.benchmarks.report import BenchmarkReport, machine_facts
from training.benchmarks.service_process import ServiceVariant, running_service
from uwe_core.errors import InputError, UweError

# Asked of each server before it is loaded: to warm up, and to compare what they answer.
_FIRST_QUERIES = 20


@dataclass
class Servers:
    """What takes part, and why others do not.

    Attributes:
        contestants: the service under the first settings is first.
    """

    contestants: list[HttpContestant] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)


def measure_load(
    question: Question, model: str, variants: Sequence[ServiceVariant], peers: Sequence[Peer], environments: Path,
    plan: LoadPlan, tell: Tell,
) -> BenchmarkReport:  # fmt: skip
    """Start the service under each of the settings, and each peer with each number of threads, and load them in turns.

    Raises:
        InputError: a peer that does not answer by HTTP alone, or a task or model that the peers cannot do.
        UweError: a model, taxonomy, task or setting that cannot be.
    """
    _check_peers(peers)
    facts = machine_facts(question.device)
    queries = real_queries(question.data, question.task)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = Servers()
        for variant in variants:
            _enter_service(servers, stack, question, model, variant, folder)
        if peers:
            _enter_peers(servers, stack, question, model, peers, PeerPlace(folder, environments))
        shared = _shared(servers.contestants, queries.take(_FIRST_QUERIES))
        runs = [_run(contestant, queries.texts, plan, tell) for contestant in servers.contestants]
        load_in_turns(runs, plan)
    facts |= {
        "model": Path(model).name,
        "task": f"{question.task} over {question.taxonomy}, top {question.top_k}, one query a request",
        "queries": f"{queries.source}, in turn",
        "requests": f"{plan.kind} arrivals over {plan.seconds:g} s or {plan.least_requests} requests a rate, as many "
        f"independent callers together make, at most {plan.connections} connections",
    }
    return load_report(runs, plan, facts, shared, servers.absent)


@dataclass(frozen=True)
class PeerPlace:
    """Where peers find what they are given, and their virtual environments."""

    folder: Path
    environments: Path


def _enter_service(
    servers: Servers, stack: ExitStack, question: Question, model: str, variant: ServiceVariant, folder: Path
) -> None:
    service = stack.enter_context(running_service(variant.over(**question.settings(model)), folder))
    client = stack.enter_context(kept_open(service.url))
    settings = "".join(f", {key}={value}" for key, value in variant.settings.items())
    note = f"{service.how}{settings}"
    servers.contestants.append(service_contestant(variant.name, client, question.task, question.top_k, note))


def _enter_peers(
    servers: Servers, stack: ExitStack, question: Question, model: str, peers: Sequence[Peer], place: PeerPlace
) -> None:
    """Every number of threads is a server of its own: which holds most shows only under load."""
    ranker = direct_ranker(model, question.taxonomy, question.task, question.home, "cpu", FLOAT32_TORCH, "float32")
    inputs = PeerInputs(place.folder, place.environments, ranker, question.task, question.top_k)
    inputs.write()
    for peer in peers:
        for threads in thread_numbers():
            try:
                contestant = start_peer(peer, inputs, threads, stack)
            except UweError as error:
                servers.absent[peer.name] = str(error)
                break
            assert isinstance(contestant, HttpContestant)  # noqa: S101 - `_check_peers`
            servers.contestants.append(contestant)


def _check_peers(peers: Sequence[Peer]) -> None:
    for peer in peers:
        if peer.name not in LOADABLE:
            raise InputError(f"'{peer.name}' does not answer requests by itself, so it cannot be loaded")


def _shared(contestants: Sequence[HttpContestant], texts: Sequence[str]) -> Mapping[str, float]:
    """The share of the first one's best targets that each gives too."""
    answers = {one.name: [one.ask(text).best for text in texts] for one in contestants}
    first = answers[contestants[0].name]
    return {name: share_of_shared(first, own) for name, own in answers.items()}


def _run(contestant: HttpContestant, texts: Sequence[str], plan: LoadPlan, tell: Tell) -> LoadRun:
    assert contestant.body is not None  # noqa: S101 - rankings are asked for by POST
    caller = Caller(str(contestant.client.base_url.join(contestant.path)), plan.connections)
    bodies = [contestant.body(text) for text in texts]
    return LoadRun(contestant.name, contestant.note, caller, bodies, plan, tell, lambda: computed_by(contestant.client))

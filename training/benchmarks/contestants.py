"""What is measured, each by the same question: one query in, the best targets and the time it took out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import torch

from training.benchmarks.processes import RunningProcess, running
from uwe_core.errors import ConfigurationError
from uwe_core.ranker import Ranker

_TIMEOUT_SECONDS = 60.0
# The best targets of an answer: their ids and scores, best first.
Best = list[tuple[str, float]]


@dataclass(frozen=True)
class Answer:
    """The time that one query took, and what came of it (nothing, where targets are not ranked)."""

    seconds: float
    best: Best


class Contestant(Protocol):
    """Something that answers one query at a time.

    Attributes:
        name: in tables.
        note: what a reader must know to compare it.
    """

    name: str

    @property
    def note(self) -> str:
        """See above."""
        ...

    def ask(self, query: str) -> Answer:
        """The answer to one query, timed from text to answer."""
        ...


@dataclass
class DirectRanker:
    """`Ranker.rank`, called in this process with that many threads."""

    name: str
    ranker: Ranker
    task: str
    top_k: int
    threads: int

    @property
    def note(self) -> str:
        """How it computes."""
        encoding = self.ranker.description.encoding
        return f"a function call, {encoding.backend} {encoding.precision}, {self.threads} threads"

    def ask(self, query: str) -> Answer:
        """Rank."""
        torch.set_num_threads(self.threads)
        start = time.perf_counter()
        rankings = self.ranker.rank(self.task, [query], self.top_k)
        seconds = time.perf_counter() - start
        return Answer(seconds, [(target.id, target.score) for target in rankings.rankings[0]])


@dataclass
class HttpContestant:
    """A service over one connection that is kept open; timed until the whole answer is read, before it is parsed.

    Attributes:
        client: with the service's address.
        path: of the route.
        body: the request of a query; GET where None.
        parse: the best targets in an answer.
        status: that is expected.
    """

    name: str
    client: httpx.Client
    path: str
    body: Callable[[str], Any] | None
    parse: Callable[[Any], Best]
    note: str = "HTTP, one connection kept open"
    status: int = 200

    def ask(self, query: str) -> Answer:
        """Send the request of the query.

        Raises:
            ConfigurationError: an answer of another status.
        """
        start = time.perf_counter()
        if self.body is None:
            response = self.client.get(self.path)
        else:
            response = self.client.post(self.path, json=self.body(query))
        seconds = time.perf_counter() - start
        if response.status_code != self.status:
            raise ConfigurationError(f"{self.name} answered {response.status_code}: {response.text[:200]}")
        return Answer(seconds, self.parse(response.json()))


@dataclass
class AskedAgain:
    """A contestant that has just answered the same query: what it remembers shows."""

    name: str
    contestant: Contestant
    note: str = "the same query for the second time, with the service's own caches as they are by default"

    def ask(self, query: str) -> Answer:
        """Ask twice, time the second."""
        self.contestant.ask(query)
        return self.contestant.ask(query)


@dataclass
class WorkerContestant:
    """A process that answers lines on its standard input, and times itself around the computation alone."""

    name: str
    worker: RunningProcess
    note: str

    def ask(self, query: str) -> Answer:
        """Send the query as a line, read the answer's line."""
        line = json.dumps(query) + "\n"
        answer = exchange(self.worker, line)
        return Answer(answer["seconds"], [(str(target), score) for target, score in answer["best"]])


def exchange(worker: RunningProcess, line: str) -> Any:
    """Write a line (none where empty), read one of JSON.

    Raises:
        ConfigurationError: the process has ended; its last words say why.
    """
    stdin, stdout = worker.process.stdin, worker.process.stdout
    assert stdin is not None  # noqa: S101 - started with lines
    assert stdout is not None  # noqa: S101
    try:
        stdin.write(line)
        stdin.flush()
        answer = stdout.readline()
    except BrokenPipeError:
        answer = ""
    if not answer:
        worker.process.wait(_TIMEOUT_SECONDS)
        worker.require_alive()
    return json.loads(answer)


@contextmanager
def running_worker(command: list[str | Path], log: Path, variables: Mapping[str, str]) -> Iterator[RunningProcess]:
    """A worker that has said it is ready, while the block runs.

    Raises:
        ConfigurationError: it did not start.
    """
    with running(command, log, variables, lines=True) as worker:
        exchange(worker, "")
        yield worker


@contextmanager
def kept_open(url: str) -> Iterator[httpx.Client]:
    """A client that keeps one connection open."""
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
    with httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS, limits=limits, trust_env=False) as client:
        yield client


def service_contestant(name: str, client: httpx.Client, task: str, top_k: int, note: str = "") -> HttpContestant:
    """The service's ranking route, one query a request."""
    return HttpContestant(
        name=name,
        client=client,
        path=f"/rank/{task}",
        body=lambda query: {"query": query, "top_k": top_k},
        parse=lambda answer: [(target["id"], target["score"]) for target in answer["results"][0]["targets"]],
        note=note or "HTTP, one connection kept open",
    )


def health_contestant(client: httpx.Client) -> HttpContestant:
    """The least that a request to the service can cost: no body, no ranking."""
    note = "framework, socket and this client alone"
    return HttpContestant("GET /healthz", client, "/healthz", None, lambda _: [], note)


def refusal_contestant(client: httpx.Client, top_k: int) -> HttpContestant:
    """A request that is read and checked in full and then refused, since its task is unknown: nothing is ranked."""
    return HttpContestant(
        name="a request checked in full, then refused",
        client=client,
        path="/rank/no-such-task",
        body=lambda query: {"query": query, "top_k": top_k},
        parse=lambda _: [],
        note="body read and validated, error answered with 404; no ranking",
        status=404,
    )

"""Metrics for Prometheus."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from starlette.types import Scope

from service.keys import ANONYMOUS, UNKNOWN
from service.space_status import JOB_KINDS, LAST_STATES
from uwe_core.ranker import STAGES, RankerDescription, SpaceSummary, Stage
from uwe_core.tasks import ZERO_SHOT

ServiceStage = Stage | Literal["wait", "explain", "serialise"]
SERVICE_STAGES: tuple[ServiceStage, ...] = ("wait", *STAGES, "explain", "serialise")
CacheName = Literal["answer", "embedding"]
_CACHES: tuple[CacheName, ...] = ("answer", "embedding")
_RANK_PATH = re.compile(r"/rank(?:/([^/]+))?")
# Routes for texts of the moment, as they stand in the label `task`; no task has a name with a slash.
_ROUTES = {"/embed": "/embed", "/rerank": "/rerank", "/v1/rerank": "/rerank", "/v2/rerank": "/rerank"}
# Fine where a request should be, half a millisecond to thirty, and coarse where it should not.
_SECONDS = (
    0.0005, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008, 0.009, 0.010, 0.012, 0.014, 0.016, 0.018, 0.020,
    0.025, 0.030, 0.040, 0.050, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip
_QUERIES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TARGETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
_STATUSES = ("200", "408", "409", "413", "422", "499", "500", "503")
# Of the counter by key: what is answered at the door, too.
_KEY_STATUSES = ("200", "202", "403", "404", "405", "408", "409", "413", "422", "429", "499", "500", "503")
_AT_THE_DOOR = frozenset({401, 403, 429})
_OTHER_TASK = "unknown"  # labels never come from what a caller wrote


@dataclass(frozen=True)
class Route:
    """Where a request went.

    Attributes:
        template: the path as it is declared; `unknown` where there is no such route, or nobody looked for it.
        task: its name, `unknown` for one that is not there; None for a route without a task.
    """

    template: str
    task: str | None = None

    @property
    def path(self) -> str:
        """The template with the task in its place."""
        return self.template if self.task is None else self.template.replace("{task}", self.task)


class Metrics:
    """All metrics of one application, in a registry of its own; every series is there from the first scrape."""

    def __init__(self, tasks: Iterable[str], key_names: Iterable[str] = ()) -> None:
        disable_created_metrics()  # a second series for every first one, and nobody asks for it
        self.registry = CollectorRegistry()
        self._tasks = frozenset(tasks) | {ZERO_SHOT}
        self._key_names = (*key_names, ANONYMOUS)
        self.request_seconds = Histogram(
            "uwe_request_seconds", "Time from request to response.", ("task", "status"),
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.key_requests = Counter(
            "uwe_key_requests", "Requests by the name of their key.", ("key", "status"), registry=self.registry
        )
        self.stage_seconds = Histogram(
            "uwe_stage_seconds", "Time of one stage of ranking.", ("stage",), buckets=_SECONDS, registry=self.registry
        )
        self.batch_queries = Histogram(
            "uwe_batch_queries", "Queries computed at once.", buckets=_QUERIES, registry=self.registry
        )
        self.batch_tokens = Histogram(
            "uwe_batch_tokens", "Tokens of queries computed at once.", buckets=_TOKENS, registry=self.registry
        )
        self.request_queries = Histogram(
            "uwe_request_queries", "Queries in one request.", ("task",), buckets=_QUERIES, registry=self.registry
        )
        self.given_targets = Histogram(
            "uwe_given_targets", "Targets that came with one request.", buckets=_TARGETS, registry=self.registry
        )
        self.waiting = Gauge("uwe_waiting_requests", "Requests accepted and not yet answered.", registry=self.registry)
        self.queued_queries = Gauge("uwe_queued_queries", "Queries not yet begun.", registry=self.registry)
        self.queued_tokens = Gauge("uwe_queued_tokens", "Tokens of queries not yet begun.", registry=self.registry)
        self.cache_lookups = Counter(
            "uwe_cache_lookups", "Queries looked up in a cache.", ("cache", "result"), registry=self.registry
        )
        self.answer_cache_entries = Gauge("uwe_answer_cache_entries", "Answers kept.", registry=self.registry)
        self.embedding_cache_bytes = Gauge(
            "uwe_embedding_cache_bytes", "Bytes of queries' token embeddings kept.", registry=self.registry
        )
        self.worker_restarts = Counter(
            "uwe_worker_restarts", "Times the computing thread died and came back.", registry=self.registry
        )
        self.space_jobs = Counter(
            "uwe_space_jobs", "Changes of spaces that are over.", ("kind", "state"), registry=self.registry
        )
        self.space_jobs_waiting = Gauge(
            "uwe_space_jobs_waiting", "Changes of spaces not yet begun.", registry=self.registry
        )
        self.space_swaps = Counter(
            "uwe_space_swaps", "Times another version of a space became live.", registry=self.registry
        )
        self.ready = Gauge("uwe_ready", "1 when requests can be answered.", registry=self.registry)
        self.index_targets = Gauge("uwe_index_targets", "Targets of a space.", ("space",), registry=self.registry)
        self.index_tokens = Gauge("uwe_index_tokens", "Tokens of an index.", ("space",), registry=self.registry)
        self.index_bytes = Gauge("uwe_index_bytes", "Bytes of an index.", ("space",), registry=self.registry)
        self.build_info = Gauge(
            "uwe_build_info", "1; what is running.",
            ("version", "model", "model_fingerprint", "device", "backend", "precision"), registry=self.registry,
        )  # fmt: skip
        self.encoder_info = Gauge(
            "uwe_encoder_info", "1; what encodes queries, on what.",
            ("backend", "precision", "threads", "processor"), registry=self.registry,
        )  # fmt: skip
        self.encoder_trial_seconds = Gauge(
            "uwe_encoder_trial_seconds", "Median time of a trial at start.",
            ("backend", "precision", "texts"), registry=self.registry,
        )  # fmt: skip
        self._create_series()

    def _create_series(self) -> None:
        for task in (*self._tasks, *_ROUTES.values()):
            self.request_queries.labels(task)
            for status in _STATUSES:
                self.request_seconds.labels(task, status)
        self.request_seconds.labels(_OTHER_TASK, "404")
        for name in self._key_names:
            for status in _KEY_STATUSES:
                self.key_requests.labels(name, status)
        self.key_requests.labels(UNKNOWN, "401")
        for kind in JOB_KINDS:
            for state in LAST_STATES:
                self.space_jobs.labels(kind, state)
        self._stages = {stage: self.stage_seconds.labels(stage) for stage in SERVICE_STAGES}
        self._lookups = {
            (cache, result): self.cache_lookups.labels(cache, result) for cache in _CACHES for result in ("hit", "miss")
        }

    def describe_model(self, model: RankerDescription) -> None:
        """What is running."""
        encoding = model.encoding
        facts = (model.model_name, model.model_fingerprint[:16], model.device, encoding.backend, encoding.precision)
        self.build_info.labels(version("unified-work-embeddings"), *facts).set(1)
        chosen = (encoding.backend, encoding.precision)
        self.encoder_info.labels(*chosen, encoding.threads, " ".join(encoding.processor)).set(1)
        for trial in encoding.trials:
            for texts, milliseconds in trial.milliseconds.items():
                self.encoder_trial_seconds.labels(trial.backend, trial.precision, texts).set(milliseconds / 1000)

    def describe_spaces(self, spaces: Iterable[SpaceSummary]) -> None:
        """The sizes of the indexes."""
        for space in spaces:
            self.index_targets.labels(space.info.name).set(space.targets)
            self.index_tokens.labels(space.info.name).set(space.tokens)
            self.index_bytes.labels(space.info.name).set(space.nbytes)

    def forget_space(self, name: str) -> None:
        """A space is served no longer."""
        for gauge in (self.index_targets, self.index_tokens, self.index_bytes):
            with suppress(KeyError):
                gauge.remove(name)

    def observe_stage(self, stage: ServiceStage, seconds: float) -> None:
        """One stage of a request (`wait`, `tokenise`) or of a batch (all others)."""
        self._stages[stage].observe(seconds)

    def observe_batch(self, queries: int, tokens: int) -> None:
        """What is computed at once."""
        self.batch_queries.observe(queries)
        self.batch_tokens.observe(tokens)

    def observe_lookups(self, cache: CacheName, hits: int, misses: int) -> None:
        """Queries that a cache knew, and those it did not."""
        self._lookups[cache, "hit"].inc(hits)
        self._lookups[cache, "miss"].inc(misses)

    def observe_request(
        self, path: str, status: int, seconds: float, key_name: str | None, task: str | None = None
    ) -> None:
        """One answered request: what computes and was let in by task or route, and whatever needs a key by its name.

        Args:
            path: names the task of a ranking.
            status: of the answer.
            seconds: from request to answer.
            key_name: of the caller; None where no key was looked at.
            task: of a request whose path names none.
        """
        if key_name is not None:
            self.key_requests.labels(key_name, str(status)).inc()
        named = _RANK_PATH.fullmatch(path)
        task = self._known_task(named[1] or ZERO_SHOT) if named else _ROUTES.get(path, task)
        if task is not None and status not in _AT_THE_DOOR:
            self.request_seconds.labels(task, str(status)).observe(seconds)

    def route(self, scope: Scope) -> Route:
        """Where a request went, in words of ours alone: nothing of it is what a caller made up."""
        named = _RANK_PATH.fullmatch(scope["path"])
        if named and named[1]:
            return Route("/rank/{task}", self._known_task(named[1]))
        return Route(getattr(scope.get("route"), "path", "unknown"))

    def _known_task(self, name: str) -> str:
        return name if name in self._tasks else _OTHER_TASK

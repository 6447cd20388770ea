"""What the application knows while it runs: loading, ready, or failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.batching import RankingQueue
from service.observability import Metrics
from service.settings import Settings
from uwe_core.errors import NotReadyError, ShuttingDownError
from uwe_core.ranker import RankerDescription, Rankings, SpaceSummary
from uwe_core.tasks import RankingTask

logger = logging.getLogger(__name__)


class RankingEngine(Protocol):
    """What the service needs of a ranker; tests bring one without weights."""

    tasks: Mapping[str, RankingTask]

    @property
    def description(self) -> RankerDescription:
        """What ranks, and how it computes."""
        ...

    def task(self, name: str) -> RankingTask:
        """The task of that name, or UnknownTaskError."""
        ...

    def space_summaries(self) -> Mapping[str, SpaceSummary]:
        """The loaded spaces by name."""
        ...

    def rank(self, task_name: str, queries: Sequence[str], top_k: int | None) -> Rankings:
        """The best targets of each query."""
        ...


@dataclass(frozen=True)
class Loaded:
    """A ranker and the queue in front of it."""

    engine: RankingEngine
    queue: RankingQueue


@dataclass
class ServiceState:
    """One application's settings, metrics, and, when it is ready, its engine and queue."""

    settings: Settings
    metrics: Metrics
    progress: str = "starting"
    stopping: bool = False
    on_failure: Callable[[Exception], None] | None = None
    loaded: Loaded | None = None

    def require(self) -> Loaded:
        """Engine and queue.

        Raises:
            NotReadyError: still loading; says what is being done.
        """
        if self.loaded is None:
            raise NotReadyError(f"not ready: {self.progress}")
        return self.loaded

    def become_ready(self, engine: RankingEngine) -> None:
        """Answer requests from now on."""
        self.metrics.describe_model(engine.description)
        self.metrics.describe_spaces(engine.space_summaries().values())
        queue = RankingQueue(engine.rank, self.metrics, self.settings.max_waiting, self.settings.deadline_seconds)
        self.loaded = Loaded(engine, queue)
        self.metrics.ready.set(1)
        model, encoding = engine.description, engine.description.encoding
        logger.info(
            "ready: model %s (%.16s) on %s by %s in %s",
            model.model_name, model.model_fingerprint, model.device, encoding.backend, encoding.precision,
        )  # fmt: skip

    def report(self, progress: str) -> None:
        """Loading goes on, with this.

        Raises:
            ShuttingDownError: nobody waits for it any more.
        """
        if self.stopping:
            raise ShuttingDownError("stopped while loading")
        logger.debug("%s", progress)
        self.progress = progress

    def fail(self, error: Exception) -> None:
        """Loading failed, so requests will never be answered."""
        self.progress = "loading failed; the log says why"
        logger.error("loading failed: %s", error)
        if self.on_failure is not None:
            self.on_failure(error)

    @property
    def computing(self) -> bool:
        """Whether a computation still runs that nobody waits for any more."""
        return self.loaded is not None and self.loaded.queue.computing

    def close(self) -> None:
        """The server is gone."""
        if self.loaded is not None:
            self.loaded.queue.close()

    def drain(self) -> None:
        """The server is going away."""
        self.stopping = True
        self.metrics.ready.set(0)
        if self.loaded is not None:
            self.loaded.queue.drain(self.settings.drain_seconds)

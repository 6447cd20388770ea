"""What the application knows while it runs: loading, ready, or failed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from service.batching import Batcher
from service.engine import RankingEngine
from service.live import LiveSpaces
from service.observability import Metrics
from service.settings import Settings
from uwe_core.errors import NotReadyError, ShuttingDownError

# A job looks up between two texts; what it writes, it writes in less.
_STOPPING_SECONDS = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A ranker, the batcher in front of it, and the changes of its spaces."""

    engine: RankingEngine
    batcher: Batcher
    live: LiveSpaces


@dataclass
class ServiceState:
    """One application's settings, metrics, and, when it is ready, its engine and batcher."""

    settings: Settings
    metrics: Metrics
    progress: str = "starting"
    stopping: bool = False
    on_failure: Callable[[Exception], None] | None = None
    loaded: Loaded | None = None

    def require(self) -> Loaded:
        """Engine and batcher.

        Raises:
            NotReadyError: still loading, or nothing can be computed for now; says what is being done.
        """
        if self.loaded is None:
            raise NotReadyError(f"not ready: {self.progress}")
        if not self.loaded.batcher.alive:
            raise NotReadyError("not ready: the computing thread is being started again")
        return self.loaded

    def become_ready(self, engine: RankingEngine) -> None:
        """Answer requests from now on."""
        self.metrics.describe_model(engine.description)
        self.metrics.describe_spaces(engine.space_summaries().values())
        batcher = Batcher(engine, self.metrics, self.settings, self._be_ready)
        self.loaded = Loaded(engine, batcher, LiveSpaces(engine, self.settings, self.metrics))
        self._be_ready(True)
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

    def _be_ready(self, ready: bool) -> None:
        self.metrics.ready.set(ready and not self.stopping)

    def close(self) -> None:
        """The server is gone."""
        if self.loaded is not None:
            self.loaded.batcher.close()
            self.loaded.live.close(_STOPPING_SECONDS)

    def drain(self) -> None:
        """The server is going away."""
        self.stopping = True
        self.metrics.ready.set(0)
        if self.loaded is not None:
            self.loaded.batcher.drain(self.settings.drain_seconds)
            self.loaded.live.close(0)

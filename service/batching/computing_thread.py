"""ComputingThread: takes batch after batch from a queue, does or fails every text, and comes back when it dies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from service.answers import AnswerKey
from service.batching.drain_rate import DrainRate
from service.batching.fair_queue import FairQueue
from service.batching.pending import Pending, PendingQuery
from service.batching.shared_pass import SharedPass
from service.engine import RankingEngine
from service.lru_cache import LruCache
from service.observability import Metrics
from uwe_core.errors import WorkerError

logger = logging.getLogger(__name__)

# Longer answers are not kept: they are rare, and a few thousand of them would fill the memory.
_LONGEST_KEPT_ANSWER = 1 << 16
# Between attempts to compute anything at all after the thread died, in seconds; the last one repeats.
_RESTART_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0)
_PROBE_TEXT = "nurse"


class ComputingThread:
    """The one thread that computes, since torch itself uses every processor.

    A text that fails is found by halving its batch, and fails its own request alone. When the thread dies, its requests
    fail, `alive` is false, and another one is started.

    Args:
        engine: the stages of ranking.
        metrics: told of waits and restarts.
        queue: of texts; closing it ends the thread.
        shared_pass: computes a batch.
        answers: the cache that answers go into.
        on_alive: told, on the thread, whenever `alive` changes.
    """

    def __init__(
        self,
        engine: RankingEngine,
        metrics: Metrics,
        queue: FairQueue,
        shared_pass: SharedPass,
        answers: LruCache[AnswerKey, bytes],
        on_alive: Callable[[bool], None],
    ) -> None:
        self._engine = engine
        self._metrics = metrics
        self._queue = queue
        self._pass = shared_pass
        self._answers = answers
        self._on_alive = on_alive
        self._batch: list[Pending] = []
        self._closed = threading.Event()
        self.rate = DrainRate()
        self.alive = True
        self._start(self._work)

    def close(self) -> None:
        """Do not come back any more; the queue says when to end."""
        self._closed.set()

    def _start(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="ranking", daemon=True).start()

    def _work(self) -> None:
        try:
            while batch := self._queue.take():
                self._batch = batch
                self._observe_waits(batch)
                start = time.perf_counter()
                self._compute(self._unanswered(batch))
                self.rate.observe(sum(len(text.token_ids) for text in batch), time.perf_counter() - start)
                self._batch = []
        except BaseException as error:  # whatever it was: somebody waits for every query
            self._die(error)

    def _compute(self, texts: Sequence[Pending]) -> None:
        """Do or fail each text; one that fails is found by halves, and fails its request alone."""
        texts = [text for text in texts if not text.request.over]
        if not texts:
            return
        try:
            done = self._pass.compute(texts)
        except Exception as error:
            if len(texts) == 1:
                texts[0].request.fail(error)
                return
            middle = len(texts) // 2
            self._compute(texts[:middle])
            self._compute(texts[middle:])
            return
        for key, answer in done.answers.items():
            if key.request is None and len(answer) <= _LONGEST_KEPT_ANSWER:
                self._answers.put(key, answer)
        for text in texts:
            if isinstance(text, PendingQuery):
                text.request.answer(text.key, done.answers[text.key])
            else:
                text.request.answer(text.token_ids, done.tokens[text.token_ids])

    def _unanswered(self, batch: Sequence[Pending]) -> list[Pending]:
        """Those that were not answered for somebody else while they waited."""
        unanswered: list[Pending] = []
        for text in batch:
            known = self._answers.get(text.key) if isinstance(text, PendingQuery) else None
            if isinstance(text, PendingQuery) and known is not None:
                text.request.answer(text.key, known)
            else:
                unanswered.append(text)
        return unanswered

    def _observe_waits(self, batch: Sequence[Pending]) -> None:
        now = time.monotonic()
        for text in batch:
            if text.first:
                work, seconds = text.request, now - text.request.queued
                self._metrics.observe_stage("wait", seconds)
                if work.trace is not None:
                    work.trace.stage("wait", seconds, queries=len(work.keys), tokens=work.tokens)

    def _die(self, error: BaseException) -> None:
        logger.critical("the computing thread died and is started again", exc_info=error)
        failure = WorkerError("the computing thread died; it is being started again")
        self._be_alive(False)
        self._queue.refuse(failure)
        for text in self._batch:
            text.request.fail(failure)
        self._batch = []
        self._start(self._return)

    def _return(self) -> None:
        """On a new thread: be alive as soon as anything can be computed, then work."""
        for pause in _pauses():
            if self._closed.wait(pause):
                return
            try:
                self._probe()
            except BaseException:
                logger.critical("still nothing can be computed", exc_info=True)
            else:
                break
        self._metrics.worker_restarts.inc()
        self._queue.accept()
        self._be_alive(True)
        self._work()

    def _probe(self) -> None:
        task = next(iter(self._engine.tasks.values()))
        tokens = self._engine.encode(self._engine.tokenise([task.example or _PROBE_TEXT]))
        self._engine.score(self._engine.served.space(task.target_space), tokens)

    def _be_alive(self, alive: bool) -> None:
        self.alive = alive
        self._on_alive(alive)


def _pauses() -> Iterator[float]:
    yield from _RESTART_PAUSES
    while True:
        yield _RESTART_PAUSES[-1]

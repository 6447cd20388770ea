"""Batcher: queries in, JSON of their rankings out, computed with whatever else waits at that moment."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from service.answers import AnswerKey, AnswerSource
from service.batching.drain_rate import DrainRate
from service.batching.fair_queue import FairQueue
from service.batching.pending import PendingQuery, PendingRequest
from service.batching.shared_pass import SharedPass, TokenIds
from service.engine import RankingEngine
from service.lru_cache import LruCache
from service.observability import Metrics
from service.settings import Settings
from service.traces import current_trace
from uwe_core.encoder import TokenisedTexts
from uwe_core.errors import NotReadyError, OverloadedError, TextError, WorkerError
from uwe_core.narrowing import WHOLE, Narrowing
from uwe_core.tasks import RankingTask

logger = logging.getLogger(__name__)

# A batch of this many tokens keeps two processors busy for some tens of milliseconds, over ESCO a tenth of a second;
# a GPU is launched as often for many tokens as for few.
_BATCH_TOKENS = {"cpu": 256, "cuda": 16384}
# Tokenising this much takes about a millisecond; more is done off the event loop.
_INLINE_CHARS = 2000
# Longer answers are not kept: they are rare, and a few thousand of them would fill the memory.
_LONGEST_KEPT_ANSWER = 1 << 16
# Between attempts to compute anything at all after the computing thread died, in seconds; the last one repeats.
_RESTART_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0)
_PROBE_TEXT = "nurse"


class Batcher:
    """Continuous batching in front of one computing thread, since torch itself uses every processor.

    Waiting is bounded in number and in time. A query that fails is found by halving its batch, and fails its own
    request alone. When the thread dies, its requests fail, `alive` is false, and another one is started.

    Args:
        engine: the stages of ranking.
        metrics: told of everything.
        settings: bounds of waiting, batches and caches.
        on_alive: told, on the computing thread, whenever `alive` changes.
    """

    def __init__(
        self,
        engine: RankingEngine,
        metrics: Metrics,
        settings: Settings,
        on_alive: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._metrics = metrics
        self._max_waiting = settings.max_waiting
        self._deadline_seconds = settings.deadline_seconds
        self._on_alive = on_alive
        self._sources = {name: AnswerSource.of(engine, task) for name, task in engine.tasks.items()}
        self._answers: LruCache[AnswerKey, bytes] = LruCache(settings.answer_cache_entries)
        embeddings: LruCache[TokenIds, Tensor] = LruCache(settings.embedding_cache_bytes, lambda tokens: tokens.nbytes)
        self._pass = SharedPass(engine, metrics, embeddings)
        device = engine.description.device.partition(":")[0]
        self._queue = FairQueue(settings.batch_tokens or _BATCH_TOKENS[device])
        self._rate = DrainRate()
        self._waiting = 0
        self._batch: list[PendingQuery] = []
        self._closed = threading.Event()
        self.alive = True
        metrics.queued_queries.set_function(lambda: self._queue.queries)
        metrics.queued_tokens.set_function(lambda: self._queue.tokens)
        metrics.answer_cache_entries.set_function(lambda: len(self._answers))
        metrics.embedding_cache_bytes.set_function(lambda: embeddings.weight)
        self._start(self._work)

    def source(self, task: str) -> AnswerSource:
        """What the answers of a task come from."""
        return self._sources[task]

    async def rank(
        self,
        task: str,
        texts: Sequence[str],
        top_k: int | None,
        narrowing: Narrowing = WHOLE,
        *,
        explain: bool = False,
    ) -> list[bytes]:
        """The JSON of each query, in their order, from the cache or computed.

        Raises:
            UnknownTaskError: no task of that name.
            InvalidTextError, EmptyTextError: a query that cannot be encoded, by its position.
            OverloadedError: too many requests wait already.
            DeadlineError: its time was over before all its queries were begun.
            ShuttingDownError: the server went away before it was done.
            WorkerError, NotReadyError: the computing thread died, and is not there again.
        """
        ranking_task = self._engine.task(task)
        source, count = self._sources[task], top_k or ranking_task.default_top_k
        answers: dict[str, bytes] = {}
        missing: list[AnswerKey] = []
        for text in dict.fromkeys(texts):
            key = source.key(text, count, narrowing, explain=explain)
            known = self._answers.get(key)
            if known is None:
                missing.append(key)
            else:
                answers[text] = known
        self._metrics.observe_lookups("answer", hits=len(answers), misses=len(missing))
        if missing:
            try:
                answers |= await self._computed(source.task, missing)
            except TextError as error:
                position = texts.index(missing[error.position].text)
                raise error.moved(position - error.position) from error
        return [answers[text] for text in texts]

    def drain(self, seconds: float) -> None:
        """From now on compute only so long what has been accepted, then give the rest up."""
        self._queue.stop_after(seconds)

    def close(self) -> None:
        """Take nothing more; what is computed now ends on its own."""
        self._closed.set()
        self._queue.close()

    async def _computed(self, task: RankingTask, keys: list[AnswerKey]) -> dict[str, bytes]:
        deadline = time.monotonic() + self._deadline_seconds
        if not self.alive:
            raise NotReadyError("not ready: the computing thread is being started again")
        if self._waiting >= self._max_waiting:
            seconds = self._rate.retry_after(self._queue.tokens)
            raise OverloadedError(f"{self._waiting} requests wait already", seconds)
        self._count(+1)
        try:
            tokenised = await self._tokenise([key.text for key in keys])
            request = PendingRequest(task, keys, tokenised, deadline, trace=current_trace.get())
            self._queue.put(request)
            try:
                return await asyncio.wrap_future(request.future)
            except asyncio.CancelledError:
                self._queue.discard(request)
                raise
        finally:
            self._count(-1)

    async def _tokenise(self, texts: list[str]) -> TokenisedTexts:
        start = time.perf_counter()
        if sum(map(len, texts)) <= _INLINE_CHARS:
            tokenised = self._engine.tokenise(texts)
        else:
            tokenised = await asyncio.to_thread(self._engine.tokenise, texts)
        seconds = time.perf_counter() - start
        self._metrics.observe_stage("tokenise", seconds)
        trace = current_trace.get()
        if trace is not None:
            tokens = sum(map(len, tokenised.token_ids))
            trace.stage("tokenise", seconds, queries=len(texts), tokens=tokens)
        return tokenised

    def _count(self, change: int) -> None:
        # Only ever called on the event loop, so no lock.
        self._waiting += change
        self._metrics.waiting.set(self._waiting)

    # What follows runs on the computing thread.

    def _start(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="ranking", daemon=True).start()

    def _work(self) -> None:
        try:
            while batch := self._queue.take():
                self._batch = batch
                self._observe_waits(batch)
                start = time.perf_counter()
                self._compute(self._unanswered(batch))
                self._rate.observe(sum(len(query.token_ids) for query in batch), time.perf_counter() - start)
                self._batch = []
        except BaseException as error:  # whatever it was: somebody waits for every query
            self._die(error)

    def _compute(self, queries: Sequence[PendingQuery]) -> None:
        """Answer or fail each query; one that fails is found by halves, and fails its request alone."""
        queries = [query for query in queries if not query.request.over]
        if not queries:
            return
        try:
            answers = self._pass.rank(queries)
        except Exception as error:
            if len(queries) == 1:
                queries[0].request.fail(error)
                return
            middle = len(queries) // 2
            self._compute(queries[:middle])
            self._compute(queries[middle:])
            return
        for key, answer in answers.items():
            if len(answer) <= _LONGEST_KEPT_ANSWER:
                self._answers.put(key, answer)
        for query in queries:
            query.request.answer(query.key.text, answers[query.key])

    def _unanswered(self, batch: Sequence[PendingQuery]) -> list[PendingQuery]:
        """Those that were not answered for somebody else while they waited."""
        unanswered = []
        for query in batch:
            known = self._answers.get(query.key)
            if known is None:
                unanswered.append(query)
            else:
                query.request.answer(query.key.text, known)
        return unanswered

    def _observe_waits(self, batch: Sequence[PendingQuery]) -> None:
        now = time.monotonic()
        for query in batch:
            if query.first:
                request, seconds = query.request, now - query.request.queued
                self._metrics.observe_stage("wait", seconds)
                if request.trace is not None:
                    request.trace.stage("wait", seconds, queries=len(request.keys), tokens=request.tokens)

    def _die(self, error: BaseException) -> None:
        logger.critical("the computing thread died and is started again", exc_info=error)
        failure = WorkerError("the computing thread died; it is being started again")
        self._be_alive(False)
        self._queue.refuse(failure)
        for query in self._batch:
            query.request.fail(failure)
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
        self._engine.score(task.target_space, tokens)

    def _be_alive(self, alive: bool) -> None:
        self.alive = alive
        self._on_alive(alive)


def _pauses() -> Iterator[float]:
    yield from _RESTART_PAUSES
    while True:
        yield _RESTART_PAUSES[-1]

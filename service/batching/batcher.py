"""Batcher: texts in, JSON of rankings or token embeddings out, computed with whatever else waits at that moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple

from torch import Tensor

from service.answers import AnswerKey, AnswerSource
from service.batching.computing_thread import ComputingThread
from service.batching.embedded import WHAT_FITS, EmbeddedTexts, Reading
from service.batching.fair_queue import FairQueue
from service.batching.pending import Key, PendingRequest, PendingTexts, PendingWork, Result, TokenIds
from service.batching.shared_pass import SharedPass
from service.engine import RankingEngine
from service.lru_cache import LruCache
from service.observability import Metrics
from service.settings import Settings
from service.traces import current_trace
from uwe_core.encoder import TokenisedTexts
from uwe_core.errors import (
    LimitError,
    LongTextError,
    NotReadyError,
    OverloadedError,
    StaleFingerprintError,
    TextError,
)
from uwe_core.narrowing import WHOLE, Narrowing
from uwe_core.ranker import GIVEN_TASK
from uwe_core.target_space import TargetSpace
from uwe_core.tasks import RankingTask

# A batch of this many tokens keeps two processors busy for some tens of milliseconds, over ESCO a tenth of a second;
# a GPU is launched as often for many tokens as for few.
_BATCH_TOKENS = {"cpu": 256, "cuda": 16384}
# Tokenising this much takes about a millisecond; more is done off the event loop.
_INLINE_CHARS = 2000


class Pins(NamedTuple):
    """Fingerprints that a request names, so that it is answered by these and nothing else; None is whatever is live."""

    index_fingerprint: str | None = None
    model_fingerprint: str | None = None


UNPINNED = Pins()


class Batcher:
    """Continuous batching in front of one `ComputingThread`. Waiting is bounded in number and in time.

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
        self._sources = {name: AnswerSource.of(engine, task) for name, task in engine.tasks.items()}
        self._answers: LruCache[AnswerKey, bytes] = LruCache(settings.answer_cache_entries)
        embeddings: LruCache[TokenIds, Tensor] = LruCache(settings.embedding_cache_bytes, lambda tokens: tokens.nbytes)
        device = engine.description.device.partition(":")[0]
        self._queue = FairQueue(settings.batch_tokens or _BATCH_TOKENS[device])
        self._waiting = 0
        self._given = count()
        metrics.queued_queries.set_function(lambda: self._queue.texts)
        metrics.queued_tokens.set_function(lambda: self._queue.tokens)
        metrics.answer_cache_entries.set_function(lambda: len(self._answers))
        metrics.embedding_cache_bytes.set_function(lambda: embeddings.weight)
        shared_pass = SharedPass(engine, metrics, embeddings)
        self._computing = ComputingThread(engine, metrics, self._queue, shared_pass, self._answers, on_alive)

    @property
    def alive(self) -> bool:
        """Whether anything can be computed now."""
        return self._computing.alive

    def source(self, task: RankingTask, pins: Pins = UNPINNED) -> AnswerSource:
        """What the answers of a task come from now, or under the fingerprints that were named.

        Raises:
            UnknownSpaceError: the task's space is not here.
            StaleFingerprintError: neither what is live nor what is kept has these fingerprints.
        """
        space = self._engine.served.space(task.target_space, pins.index_fingerprint)
        source = self._sources.get(task.name)
        if source is None or source.space is not space or source.task is not task:
            source = AnswerSource.of(self._engine, task, space)
            if self._engine.tasks.get(task.name) is task and pins.index_fingerprint is None:
                self._sources[task.name] = source
        self.check_model(pins.model_fingerprint)
        return source

    def check_model(self, fingerprint: str | None) -> None:
        """Refuse a request that was meant for another model.

        Raises:
            StaleFingerprintError: the model has another fingerprint than the one that was named.
        """
        if fingerprint is None:
            return  # most requests name none, and the description is put together at each call
        live = self._engine.description.model_fingerprint
        if fingerprint != live:
            raise StaleFingerprintError("the model", fingerprint, live)

    async def rank(
        self,
        task: str | AnswerSource,
        texts: Sequence[str],
        top_k: int | None,
        narrowing: Narrowing = WHOLE,
        *,
        explain: bool = False,
    ) -> list[bytes]:
        """The JSON of each query, in their order, from the cache or computed.

        Args:
            task: the name of one, over what is live now; or the source that was found for a request.
            texts: of the queries.
            top_k: most targets of each; the task's default where None.
            narrowing: which of the best ones to return.
            explain: say why each target has its score.

        Raises:
            UnknownTaskError: no task of that name.
            InvalidTextError, EmptyTextError: a query that cannot be encoded, by its position.
            OverloadedError: too many requests wait already.
            DeadlineError: its time was over before all its queries were begun.
            ShuttingDownError: the server went away before it was done.
            WorkerError, NotReadyError: the computing thread died, and is not there again.
        """
        source = self.source(self._engine.task(task)) if isinstance(task, str) else task
        best = top_k or source.task.default_top_k
        answers: dict[str, bytes] = {}
        missing: list[AnswerKey] = []
        for text in dict.fromkeys(texts):
            key = source.key(text, best, narrowing, explain=explain)
            known = self._answers.get(key)
            if known is None:
                missing.append(key)
            else:
                answers[text] = known
        self._metrics.observe_lookups("answer", hits=len(answers), misses=len(missing))
        if missing:
            try:
                with self._accepted() as deadline:
                    answers |= await self._ranked(source, missing, deadline)
            except TextError as error:
                position = texts.index(missing[error.position].text)
                raise error.moved(position - error.position) from error
        return [answers[text] for text in texts]

    async def rank_given(
        self,
        targets: TargetSpace,
        queries: Sequence[str],
        top_k: int | None,
        narrowing: Narrowing = WHOLE,
        *,
        explain: bool = False,
        reading: Reading = WHAT_FITS,
    ) -> tuple[AnswerSource, list[bytes]]:
        """What the answers come from, and the JSON of each query over targets that came with the request.

        The targets are encoded as queries are, in turns with everybody else's, and then ranked as those of a task are.
        Nothing of it is kept but token embeddings.

        Args:
            targets: that came with the request.
            queries: to rank them for.
            top_k: most targets of each query; 10 where None.
            narrowing: which of the best ones are returned.
            explain: why they have their scores.
            reading: how much of each target is read.

        Raises:
            InvalidTextError, EmptyTextError, LongTextError: a text that cannot be encoded, by its position among the
                targets and, after them, the queries.
            OverloadedError, DeadlineError, ShuttingDownError, WorkerError, NotReadyError: as `rank`.
        """
        with self._accepted() as deadline:
            tokenised = await self._tokenise(targets.texts, reading)
            try:
                tokenised_queries = await self._tokenise(queries, reading.of_whole_texts())
            except TextError as error:
                raise error.moved(len(targets)) from error
            # The queries are encoded with the targets, so that the pass which ranks them finds their embeddings.
            embeddings = await self._encoded([*tokenised.token_ids, *tokenised_queries.token_ids], deadline)
            rankable = await asyncio.to_thread(self._engine.given, targets, embeddings[: len(targets)])
            source = AnswerSource.of(self._engine, GIVEN_TASK, rankable, next(self._given))
            best = top_k or GIVEN_TASK.default_top_k
            keys = [source.key(text, best, narrowing, explain=explain) for text in dict.fromkeys(queries)]
            answers = await self._ranked(source, keys, deadline)
        return source, [answers[text] for text in queries]

    async def embed(
        self, texts: Sequence[str], reading: Reading = WHAT_FITS, most_tokens: int | None = None
    ) -> EmbeddedTexts:
        """The token embeddings of each text, encoded in turns with everybody else's texts.

        Args:
            texts: any; those with the same tokens are encoded once.
            reading: how much of each text is read.
            most_tokens: of all texts together; more are refused before anything is computed.

        Raises:
            InvalidTextError, EmptyTextError, LongTextError: a text that cannot be encoded, by its position.
            LimitError: more tokens than that.
            OverloadedError, DeadlineError, ShuttingDownError, WorkerError, NotReadyError: as `rank`.
        """
        with self._accepted() as deadline:
            tokenised = await self._tokenise(texts, reading)
            tokens = sum(map(len, tokenised.token_ids))
            if most_tokens is not None and tokens > most_tokens:
                raise LimitError(f"the texts have {tokens} tokens; those of one request may have {most_tokens}")
            return EmbeddedTexts(await self._encoded(tokenised.token_ids, deadline), tokenised.truncations)

    def drain(self, seconds: float) -> None:
        """From now on compute only so long what has been accepted, then give the rest up."""
        self._queue.stop_after(seconds)

    def close(self) -> None:
        """Take nothing more; what is computed now ends on its own."""
        self._computing.close()
        self._queue.close()

    @contextmanager
    def _accepted(self) -> Iterator[float]:
        """A place among those that wait, and until when it may be held, in seconds of `time.monotonic`."""
        if not self.alive:
            raise NotReadyError("not ready: the computing thread is being started again")
        if self._waiting >= self._max_waiting:
            seconds = self._computing.rate.retry_after(self._queue.tokens)
            raise OverloadedError(f"{self._waiting} requests wait already", seconds)
        self._count(+1)
        try:
            yield time.monotonic() + self._deadline_seconds
        finally:
            self._count(-1)

    async def _ranked(self, source: AnswerSource, keys: list[AnswerKey], deadline: float) -> dict[str, bytes]:
        """The JSON of each query by its text."""
        tokenised = await self._tokenise([key.text for key in keys])
        request = PendingRequest(source=source, keys=keys, tokenised=tokenised, deadline=deadline)
        answers = await self._done(request)
        return {key.text: answer for key, answer in answers.items()}

    async def _encoded(self, token_ids: Sequence[list[int]], deadline: float) -> list[Tensor]:
        """The token embeddings of each text; texts with the same tokens share them."""
        texts = [tuple(ids) for ids in token_ids]
        distinct = dict(zip(texts, token_ids, strict=True))
        tokenised = TokenisedTexts(list(distinct.values()), [])
        embeddings = await self._done(PendingTexts(keys=list(distinct), tokenised=tokenised, deadline=deadline))
        return [embeddings[text] for text in texts]

    async def _done(self, work: PendingWork[Key, Result]) -> dict[Key, Result]:
        """Wait until the computing thread has done it all."""
        self._queue.put(work)
        try:
            return await asyncio.wrap_future(work.future)
        except asyncio.CancelledError:
            self._queue.discard(work)
            raise

    async def _tokenise(self, texts: Sequence[str], reading: Reading = WHAT_FITS) -> TokenisedTexts:
        start = time.perf_counter()
        if sum(map(len, texts)) <= _INLINE_CHARS:
            tokenised = self._engine.tokenise(texts, reading.most_tokens)
        else:
            tokenised = await asyncio.to_thread(self._engine.tokenise, texts, reading.most_tokens)
        seconds = time.perf_counter() - start
        self._metrics.observe_stage("tokenise", seconds)
        trace = current_trace.get()
        if trace is not None:
            tokens = sum(map(len, tokenised.token_ids))
            trace.stage("tokenise", seconds, queries=len(texts), tokens=tokens)
        if reading.refuse_longer:
            for cut in tokenised.truncations:
                raise LongTextError(cut.position, f"has {cut.tokens} tokens; {cut.kept_tokens} of them can be read")
        return tokenised

    def _count(self, change: int) -> None:
        # Only ever called on the event loop, so no lock.
        self._waiting += change
        self._metrics.waiting.set(self._waiting)

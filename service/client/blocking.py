"""UweClient: calls that return when the answer is there."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from service.client.batches import BATCH_SIZE, CONCURRENCY, batches, telling_where
from service.client.exchange import (
    DEFAULT_TIMEOUT,
    DEFAULT_URL,
    Again,
    Call,
    Outcome,
    RankOptions,
    address,
    embed_call,
    judge,
    limits_of,
    rank_call,
    rank_space_call,
    rank_targets_call,
    ready_call,
    rerank_call,
    standing_headers,
    tasks_call,
)
from service.client.results import Embeddings, Job, QueryResult, RankedText, Rankings, Readiness, Space, Task
from service.client.retries import Retries
from service.client.space_calls import (
    SpaceFacts,
    Targets,
    check_made,
    delete_space_call,
    job_call,
    patch_space_call,
    put_space_call,
    spaces_call,
)

Result = TypeVar("Result")
_RETRIES = Retries()


class UweClient:
    """A client of the ranking service; several threads may share one.

    Every call is safe to repeat, so what may pass (no connection, a broken one, 429, 502, 503, 504) is tried again
    within the bounds of `retries`. All calls raise errors of `ClientError`'s tree.

    Args:
        url: address of the service; a path before its routes is kept.
        api_key: sent as `Authorization: Bearer`, where given.
        timeout: seconds to wait for an answer.
        retries: how often and how patiently requests are repeated.
        transport: what httpx sends with, in place of its own.
        sleep: what waits between attempts.

    Raises:
        ValueError: `url` is not one of http or https.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retries: Retries = _RETRIES,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx.Client(
            base_url=address(url), headers=standing_headers(api_key), timeout=limits_of(timeout), transport=transport
        )
        self._retries = retries
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def rank(self, task: str, queries: str | Sequence[str], **options: Unpack[RankOptions]) -> Rankings:
        """The best targets for one query or several, in one request; see `RankOptions`."""
        return self._answer(rank_call(task, queries, options))

    def rank_many(
        self,
        task: str,
        queries: Iterable[str],
        *,
        batch_size: int = BATCH_SIZE,
        concurrency: int = CONCURRENCY,
        **options: Unpack[RankOptions],
    ) -> Iterator[QueryResult]:
        """Results of any number of queries, in their order, by several requests at once.

        At most `batch_size * concurrency` queries and their results are in memory. Whoever stops early, or meets an
        error, waits for the requests that are on their way.

        Args:
            task: name of a task.
            queries: read as they are needed.
            batch_size: queries in one request; the service's `max_queries` is the most.
            concurrency: requests at once.
            options: see `RankOptions`.
        """
        waiting: deque[Future[Rankings]] = deque()
        with ThreadPoolExecutor(concurrency, thread_name_prefix="uwe-client") as pool:
            try:
                for start, batch in batches(queries, batch_size, concurrency):
                    waiting.append(pool.submit(self._rank_batch, task, start, batch, options))
                    if len(waiting) == concurrency:
                        yield from waiting.popleft().result().results
                while waiting:
                    yield from waiting.popleft().result().results
            finally:
                for future in waiting:
                    future.cancel()

    def rank_targets(
        self,
        queries: str | Sequence[str],
        targets: Sequence[str | Mapping[str, Any]],
        **options: Unpack[RankOptions],
    ) -> Rankings:
        """The best of targets that are sent along, for one query or several; see `RankOptions`.

        Args:
            queries: one text, or several.
            targets: texts, or mappings with `text` and, optionally, `id` and `metadata`.
            options: see `RankOptions`; `min_confidence` has no meaning here.
        """
        return self._answer(rank_targets_call(queries, targets, options))

    def rerank(self, query: str, texts: Sequence[str], *, raw_scores: bool = False) -> tuple[RankedText, ...]:
        """All texts, those first that a query is best answered by; with the model's own scores where `raw_scores`."""
        return self._answer(rerank_call(query, texts, raw_scores=raw_scores))

    def embed(self, texts: str | Sequence[str], *, tokens: bool = False, normalise: bool = False) -> Embeddings:
        """The vectors of one text or several.

        Args:
            texts: one text, or several.
            tokens: a vector for each token, as the model scores with, in place of the mean of each text's tokens.
            normalise: scale every vector to length 1.
        """
        return self._answer(embed_call(texts, tokens=tokens, normalise=normalise))

    def rank_space(self, space: str, queries: str | Sequence[str], **options: Unpack[RankOptions]) -> Rankings:
        """The best targets of any space for one query or several, without a task: zero-shot; see `RankOptions`."""
        return self._answer(rank_space_call(space, queries, options))

    def spaces(self) -> tuple[Space, ...]:
        """All target spaces in use."""
        return self._answer(spaces_call())

    def put_space(self, name: str, targets: Targets, **facts: Unpack[SpaceFacts]) -> Job:
        """Upload a target space, in place of the one of that name if there is one; needs a key with the scope `admin`.

        The job goes on after this returns; `wait_for` waits for it.

        Args:
            name: of the space.
            targets: see `Targets`.
            facts: see `SpaceFacts`.
        """
        return self._answer(put_space_call(name, targets, facts))

    def patch_space(
        self,
        name: str,
        *,
        put: Iterable[Mapping[str, Any]] = (),
        remove: Iterable[str] = (),
        fingerprint: str | None = None,
    ) -> Job:
        """Add, replace and remove targets of an uploaded space; needs a key with the scope `admin`.

        Args:
            name: of the space.
            put: targets, in place of those of their ids.
            remove: ids; absent ones are left alone.
            fingerprint: of the index that is to be changed; `ConflictError` where another one is live.
        """
        return self._answer(patch_space_call(name, put, remove, fingerprint))

    def delete_space(self, name: str) -> Job:
        """Remove an uploaded space; needs a key with the scope `admin`."""
        return self._answer(delete_space_call(name))

    def job(self, identifier: str) -> Job:
        """How far a change is."""
        return self._answer(job_call(identifier))

    def wait_for(self, job: Job, progress: Callable[[Job], None] = lambda _: None, seconds_between: float = 0.2) -> Job:
        """The job when it is over.

        Args:
            job: as a change gave it.
            progress: told each time the job was asked for.
            seconds_between: two questions.

        Raises:
            JobFailedError: the change could not be made.
        """
        call = job_call(job.id)
        while not job.over:
            self._sleep(seconds_between)
            job = self._answer(call)
            progress(job)
        return check_made(job, call)

    def tasks(self) -> tuple[Task, ...]:
        """All tasks of the service."""
        return self._answer(tasks_call())

    def ready(self) -> Readiness:
        """With what the service answers requests; asked once.

        Raises:
            UnavailableError: it does not yet, and says why.
        """
        return self._answer(ready_call())

    def _rank_batch(self, task: str, start: int, batch: list[str], options: RankOptions) -> Rankings:
        with telling_where(start):
            return self.rank(task, batch, **options)

    def _answer(self, call: Call[Result]) -> Result:
        attempt = 1
        while isinstance(verdict := judge(call, self._send(call), attempt, self._retries), Again):
            self._sleep(verdict.seconds)
            attempt += 1
        return verdict.result

    def _send(self, call: Call[Result]) -> Outcome:
        try:
            return self._http.request(call.method, call.path, content=call.content, headers=call.headers)
        except httpx.RequestError as error:
            return error

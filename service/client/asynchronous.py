"""AsyncUweClient: the same calls for programs of asyncio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
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


class AsyncUweClient:
    """`UweClient` for programs of asyncio: the same arguments, the same errors, and coroutines in place of calls."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retries: Retries = _RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=address(url), headers=standing_headers(api_key), timeout=limits_of(timeout), transport=transport
        )
        self._retries = retries
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def rank(self, task: str, queries: str | Sequence[str], **options: Unpack[RankOptions]) -> Rankings:
        """See `UweClient.rank`."""
        return await self._answer(rank_call(task, queries, options))

    async def rank_many(
        self,
        task: str,
        queries: Iterable[str],
        *,
        batch_size: int = BATCH_SIZE,
        concurrency: int = CONCURRENCY,
        **options: Unpack[RankOptions],
    ) -> AsyncIterator[QueryResult]:
        """See `UweClient.rank_many`; requests on their way are cancelled when it ends early."""
        waiting: deque[asyncio.Task[Rankings]] = deque()
        try:
            for start, batch in batches(queries, batch_size, concurrency):
                waiting.append(asyncio.create_task(self._rank_batch(task, start, batch, options)))
                if len(waiting) == concurrency:
                    for result in (await waiting.popleft()).results:
                        yield result
            while waiting:
                for result in (await waiting.popleft()).results:
                    yield result
        finally:
            for request in waiting:
                request.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def rank_targets(
        self,
        queries: str | Sequence[str],
        targets: Sequence[str | Mapping[str, Any]],
        **options: Unpack[RankOptions],
    ) -> Rankings:
        """See `UweClient.rank_targets`."""
        return await self._answer(rank_targets_call(queries, targets, options))

    async def rerank(self, query: str, texts: Sequence[str], *, raw_scores: bool = False) -> tuple[RankedText, ...]:
        """See `UweClient.rerank`."""
        return await self._answer(rerank_call(query, texts, raw_scores=raw_scores))

    async def embed(self, texts: str | Sequence[str], *, tokens: bool = False, normalise: bool = False) -> Embeddings:
        """See `UweClient.embed`."""
        return await self._answer(embed_call(texts, tokens=tokens, normalise=normalise))

    async def rank_space(self, space: str, queries: str | Sequence[str], **options: Unpack[RankOptions]) -> Rankings:
        """See `UweClient.rank_space`."""
        return await self._answer(rank_space_call(space, queries, options))

    async def spaces(self) -> tuple[Space, ...]:
        """See `UweClient.spaces`."""
        return await self._answer(spaces_call())

    async def put_space(self, name: str, targets: Targets, **facts: Unpack[SpaceFacts]) -> Job:
        """See `UweClient.put_space`."""
        return await self._answer(put_space_call(name, targets, facts))

    async def patch_space(
        self,
        name: str,
        *,
        put: Iterable[Mapping[str, Any]] = (),
        remove: Iterable[str] = (),
        fingerprint: str | None = None,
    ) -> Job:
        """See `UweClient.patch_space`."""
        return await self._answer(patch_space_call(name, put, remove, fingerprint))

    async def delete_space(self, name: str) -> Job:
        """See `UweClient.delete_space`."""
        return await self._answer(delete_space_call(name))

    async def job(self, identifier: str) -> Job:
        """See `UweClient.job`."""
        return await self._answer(job_call(identifier))

    async def wait_for(
        self, job: Job, progress: Callable[[Job], None] = lambda _: None, seconds_between: float = 0.2
    ) -> Job:
        """See `UweClient.wait_for`."""
        call = job_call(job.id)
        while not job.over:
            await self._sleep(seconds_between)
            job = await self._answer(call)
            progress(job)
        return check_made(job, call)

    async def tasks(self) -> tuple[Task, ...]:
        """See `UweClient.tasks`."""
        return await self._answer(tasks_call())

    async def ready(self) -> Readiness:
        """See `UweClient.ready`."""
        return await self._answer(ready_call())

    async def _rank_batch(self, task: str, start: int, batch: list[str], options: RankOptions) -> Rankings:
        with telling_where(start):
            return await self.rank(task, batch, **options)

    async def _answer(self, call: Call[Result]) -> Result:
        attempt = 1
        while isinstance(verdict := judge(call, await self._send(call), attempt, self._retries), Again):
            await self._sleep(verdict.seconds)
            attempt += 1
        return verdict.result

    async def _send(self, call: Call[Result]) -> Outcome:
        try:
            return await self._http.request(call.method, call.path, content=call.content, headers=call.headers)
        except httpx.RequestError as error:
            return error

"""A batcher on an event loop, with requests that are computed when a test says so."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

from service.batching import Batcher
from service.observability import Metrics
from service.settings import Settings
from tests.service.conftest import FakeRanker

Test = Callable[[Batcher, Any], Coroutine[Any, Any, None]]


def run(test: Test, ranker: Any = None, **limits: Any) -> Metrics:
    """Run a test on an event loop, with a batcher that is closed afterwards and must then be empty."""
    ranker = ranker or FakeRanker()
    metrics = Metrics(ranker.tasks)

    async def main() -> None:
        batcher = Batcher(ranker, metrics, Settings(**{"deadline_seconds": 20, **limits}))
        try:
            await test(batcher, ranker)
            assert metrics.waiting._value.get() == 0
        finally:
            if isinstance(ranker, FakeRanker):
                ranker.release.set()
            batcher.close()

    asyncio.run(main())
    return metrics


async def busy(batcher: Batcher, ranker: FakeRanker, query: str = "a") -> asyncio.Task[list[bytes]]:
    """A request that is being computed until the ranker is released."""
    ranker.release.clear()
    task = asyncio.create_task(batcher.rank("job2skill", [query], 1))
    assert await asyncio.to_thread(ranker.started.wait, 20)
    return task


async def queued(batcher: Batcher, *queries: str, task: str = "job2skill") -> asyncio.Task[list[bytes]]:
    """A request that waits."""
    request = asyncio.create_task(batcher.rank(task, queries, 1))
    await asyncio.sleep(0)
    return request


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


def best(result: bytes) -> str:
    identifier: str = json.loads(result)["targets"][0]["id"]
    return identifier

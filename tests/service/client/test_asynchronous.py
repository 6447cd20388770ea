"""The asynchronous client does as the blocking one does."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from service import client as uwe
from service.app import create_app
from service.settings import Settings
from tests.service.client.servers import asynchronous, ranked, refused
from tests.service.conftest import FakeRanker

_QUERIES = ["bbb", "a", "long bbb", "cc", "dddd", "e", "ff"]


def test_the_asynchronous_client_says_the_same(blocking: uwe.UweClient, settings: Settings) -> None:
    async def answers() -> tuple[Any, ...]:
        async with asynchronous(create_app(settings, FakeRanker())) as client:
            many = [result async for result in client.rank_many("job2skill", _QUERIES, batch_size=2, concurrency=2)]
            with pytest.raises(uwe.UnknownTaskError):
                await client.rank("nonsense", "nurse")
            return await client.rank("job2skill", "nurse"), await client.tasks(), await client.ready(), many

    many = list(blocking.rank_many("job2skill", _QUERIES, batch_size=2))
    expected = blocking.rank("job2skill", "nurse"), blocking.tasks(), blocking.ready(), many
    assert asyncio.run(answers()) == expected


def test_the_asynchronous_client_sends_texts_along_too(blocking: uwe.UweClient, settings: Settings) -> None:
    async def answers() -> tuple[Any, ...]:
        async with asynchronous(create_app(settings, FakeRanker())) as client:
            return (
                await client.embed("nurse"),
                await client.rerank("nurse", ["weld", "nurse"]),
                await client.rank_targets("nurse", ["weld", "nurse"]),
            )

    expected = (
        blocking.embed("nurse"),
        blocking.rerank("nurse", ["weld", "nurse"]),
        blocking.rank_targets("nurse", ["weld", "nurse"]),
    )
    assert asyncio.run(answers()) == expected


def test_an_asynchronous_list_that_ends_early_leaves_no_request_behind() -> None:
    async def left_after_one() -> tuple[int, str]:
        async def handle(request: httpx.Request) -> httpx.Response:
            queries = httpx.Response(200, content=request.content).json()["queries"]
            if queries != ["a"]:
                await asyncio.Event().wait()  # never answered
            return ranked(*queries)

        async with uwe.AsyncUweClient(transport=httpx.MockTransport(handle)) as client:
            results = client.rank_many("t", ["a", "b", "c"], batch_size=1, concurrency=3)
            first = await anext(results)
            await results.aclose()  # type: ignore[attr-defined]
            return len(asyncio.all_tasks()), first.query

    assert asyncio.run(left_after_one()) == (1, "a")


def test_asynchronous_attempts_are_repeated_too() -> None:
    async def waits_of() -> list[float]:
        waits: list[float] = []
        answers = iter([refused(503, **{"Retry-After": "2"}), ranked("nurse")])

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        transport = httpx.MockTransport(lambda _: next(answers))
        async with uwe.AsyncUweClient(transport=transport, sleep=sleep) as client:
            await client.rank("t", "nurse")
        return waits

    (wait,) = asyncio.run(waits_of())
    assert 2 < wait <= 2.25

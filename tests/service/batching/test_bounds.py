"""Waiting is bounded in number and in time, and ends where nobody waits any more."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.batching import Batcher
from service.batching.drain_rate import DrainRate
from tests.service.batching.driving import busy, queued, run
from tests.service.conftest import FakeRanker
from uwe_core.encoder import TokenisedTexts
from uwe_core.errors import (
    DeadlineError,
    OverloadedError,
    ShuttingDownError,
)
from uwe_core.token_embeddings import TokenEmbeddings


def test_waiting_is_bounded_in_number() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        accepted = [await busy(batcher, ranker), await queued(batcher, "b")]
        with pytest.raises(OverloadedError) as raised:
            await batcher.rank("job2skill", ["c"], 1)
        assert raised.value.retry_after == 1
        ranker.release.set()
        assert [len(await task) for task in accepted] == [1, 1]

    run(test, max_waiting=2)


def test_an_answer_that_is_known_is_given_under_overload_too() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        known = await batcher.rank("job2skill", ["known"], 1)
        first = await busy(batcher, ranker)
        assert await batcher.rank("job2skill", ["known"], 1) == known
        ranker.release.set()
        await first

    run(test, max_waiting=1)


@given(st.lists(st.tuples(st.integers(1, 500), st.floats(0.001, 10)), max_size=8), st.integers(0, 10**6))
def test_the_time_to_come_again_is_what_the_queue_takes(batches: list[tuple[int, float]], waiting: int) -> None:
    rate = DrainRate()
    for tokens, seconds in batches:
        rate.observe(tokens, seconds)
    seconds = rate.retry_after(waiting)
    assert 1 <= seconds <= 60
    if batches:
        speeds = [tokens / seconds for tokens, seconds in batches]
        assert min(60, waiting / max(speeds)) * 0.999 <= seconds <= max(1, waiting / min(speeds) * 1.001 + 1)


def test_waiting_is_bounded_in_time() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        late = await queued(batcher, "b")
        await asyncio.sleep(0.1)
        ranker.release.set()
        await first  # it was being computed already
        with pytest.raises(DeadlineError):
            await late
        assert ranker.ranked == ["a"]

    run(test, deadline_seconds=0.05)


def test_a_large_request_is_given_up_between_its_batches() -> None:
    class Slow(FakeRanker):
        def encode(self, tokenised: TokenisedTexts) -> TokenEmbeddings:
            time.sleep(0.03)
            return super().encode(tokenised)

    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        with pytest.raises(DeadlineError):
            await batcher.rank("job2skill", [f"query {number}" for number in range(50)], None)
        assert 1 <= len(ranker.passes) < 50

    run(test, Slow(), deadline_seconds=0.1, batch_tokens=1)


def test_a_cancelled_request_is_never_computed() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        second, third = await queued(batcher, "b"), await queued(batcher, "c")
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert batcher._queue.texts == 1
        ranker.release.set()
        await first
        await third
        assert ranker.ranked == ["a", "c"]

    run(test)


def test_the_rest_of_a_cancelled_request_is_not_computed() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        ranker.release.clear()
        large = await queued(batcher, "a", "b", "c")
        assert await asyncio.to_thread(ranker.started.wait, 20)
        large.cancel()
        await asyncio.sleep(0)
        ranker.release.set()
        await batcher.rank("job2skill", ["d"], 1)
        assert ranker.ranked == ["a", "d"]

    run(test, batch_tokens=1)


def test_after_the_time_to_drain_the_rest_is_given_up() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        second = await queued(batcher, "b")
        batcher.drain(0)
        batcher.drain(99)  # a second signal does not grant more time
        ranker.release.set()
        assert len(await first) == 1
        with pytest.raises(ShuttingDownError):
            await second

    run(test)


def test_within_the_time_to_drain_nothing_accepted_is_lost() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        rest = [await queued(batcher, f"query {number}") for number in range(20)]
        batcher.drain(20)
        ranker.release.set()
        assert all([await task for task in (first, *rest)])

    run(test, batch_tokens=16)


def test_what_waits_when_the_server_is_gone_fails() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        second = await queued(batcher, "b")
        batcher.close()
        with pytest.raises(ShuttingDownError):
            await second
        with pytest.raises(ShuttingDownError):
            await batcher.rank("job2skill", ["c"], 1)
        ranker.release.set()
        await first

    run(test)

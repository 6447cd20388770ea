"""The queue in front of the computing thread: bounded, in time, and alive whatever a request does to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import batching
from service.batching import RankingQueue, join, pieces
from service.observability import Metrics
from tests.service.conftest import FakeRanker
from uwe_core.encoder import Truncation
from uwe_core.errors import DeadlineError, EmptyTextError, OverloadedError, ShuttingDownError
from uwe_core.ranker import STAGES, Rankings


def run(test: Callable[[RankingQueue, FakeRanker], Coroutine[Any, Any, None]], **limits: float) -> None:
    """Run a test on an event loop, with a queue that is closed afterwards and must then be empty."""

    async def main() -> None:
        ranker, metrics = FakeRanker(), Metrics(["job2skill"])
        queue = RankingQueue(
            ranker.rank, metrics, int(limits.get("max_waiting", 8)), limits.get("deadline_seconds", 20)
        )
        try:
            await test(queue, ranker)
            assert metrics.waiting._value.get() == 0
        finally:
            ranker.release.set()
            queue.close()

    asyncio.run(main())


async def started(ranker: FakeRanker) -> None:
    assert await asyncio.to_thread(ranker.started.wait, 20)


def test_waiting_is_bounded_in_number() -> None:
    async def test(queue: RankingQueue, ranker: FakeRanker) -> None:
        ranker.release.clear()
        accepted = [asyncio.create_task(queue.rank("job2skill", [word], 1)) for word in ("a", "b")]
        await started(ranker)
        with pytest.raises(OverloadedError):
            await queue.rank("job2skill", ["c"], 1)
        ranker.release.set()
        assert [len((await task).rankings) for task in accepted] == [1, 1]

    run(test, max_waiting=2)


def test_waiting_is_bounded_in_time() -> None:
    async def test(queue: RankingQueue, ranker: FakeRanker) -> None:
        ranker.release.clear()
        first = asyncio.create_task(queue.rank("job2skill", ["a"], 1))
        await started(ranker)
        late = asyncio.create_task(queue.rank("job2skill", ["b"], 1))
        await asyncio.sleep(0.1)
        ranker.release.set()
        await first  # it was being computed already
        with pytest.raises(DeadlineError):
            await late
        assert ranker.ranked == ["a"]

    run(test, deadline_seconds=0.05)


def test_a_fault_fails_its_own_request_alone() -> None:
    async def test(queue: RankingQueue, ranker: FakeRanker) -> None:
        ranker.fails = MemoryError("no room")
        with pytest.raises(MemoryError):
            await queue.rank("job2skill", ["a"], 1)
        assert len((await queue.rank("job2skill", ["b"], 1)).rankings) == 1

    run(test)


def test_a_cancelled_request_is_never_computed() -> None:
    async def test(queue: RankingQueue, ranker: FakeRanker) -> None:
        ranker.release.clear()
        first = asyncio.create_task(queue.rank("job2skill", ["a"], 1))
        await started(ranker)
        second = asyncio.create_task(queue.rank("job2skill", ["b"], 1))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        ranker.release.set()
        await first
        await queue.rank("job2skill", ["c"], 1)
        assert ranker.ranked == ["a", "c"]

    run(test)


def test_after_the_time_to_drain_the_rest_is_given_up() -> None:
    async def test(queue: RankingQueue, ranker: FakeRanker) -> None:
        ranker.release.clear()
        first = asyncio.create_task(queue.rank("job2skill", ["a"], 1))
        await started(ranker)
        second = asyncio.create_task(queue.rank("job2skill", ["b"], 1))
        await asyncio.sleep(0)
        queue.drain(0)
        queue.drain(99)  # a second signal does not grant more time
        ranker.release.set()
        assert len((await first).rankings) == 1
        with pytest.raises(ShuttingDownError):
            await second
        assert not queue.computing

    run(test)


def test_a_large_request_is_given_up_between_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "_PIECE_CHARS", 1)
    seen: list[str] = []

    def slow(task_name: str, queries: Sequence[str], top_k: int | None) -> Rankings:
        seen.extend(queries)
        time.sleep(0.03)
        return Rankings([[] for _ in queries], [], dict.fromkeys(STAGES, 0.0))

    async def main() -> None:
        queue = RankingQueue(slow, Metrics([]), 8, 0.05)
        with pytest.raises(DeadlineError):
            await queue.rank("job2skill", ["x"] * 50, None)
        queue.close()

    asyncio.run(main())
    assert 1 <= len(seen) < 50


@given(st.lists(st.text(max_size=1500), min_size=1, max_size=20))
def test_pieces_are_the_queries_in_order_and_bounded(queries: list[str]) -> None:
    parts = list(pieces(queries))
    assert [query for _, part in parts for query in part] == queries
    assert all(len(part) == 1 or sum(map(len, part)) <= batching._PIECE_CHARS for _, part in parts)
    assert all(queries[start : start + len(part)] == list(part) and part for start, part in parts)


def test_a_bad_text_is_named_by_its_place_in_the_whole_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "_PIECE_CHARS", 2)

    async def test(queue: RankingQueue, ranker: FakeRanker) -> None:
        with pytest.raises(EmptyTextError, match="text 4 is empty") as raised:
            await queue.rank("job2skill", ["a", "b", "c", "d", "", "e"], 1)
        assert raised.value.position == 4

    run(test)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_joined_pieces_count_positions_over_the_whole_request(sizes: list[int]) -> None:
    parts = [
        Rankings([[] for _ in range(size)], [Truncation(size - 1, 9, 5)], dict.fromkeys(STAGES, 0.5)) for size in sizes
    ]
    whole = join(parts)
    assert len(whole.rankings) == sum(sizes)
    ends = [sum(sizes[: place + 1]) - 1 for place in range(len(sizes))]
    assert [cut.position for cut in whole.truncations] == ends
    assert whole.seconds == dict.fromkeys(STAGES, 0.5 * len(sizes))


def test_the_computing_thread_is_one() -> None:
    names: set[str] = set()

    def name(task_name: str, queries: Sequence[str], top_k: int | None) -> Rankings:
        names.add(threading.current_thread().name)
        return Rankings([[]], [], dict.fromkeys(STAGES, 0.0))

    async def main() -> None:
        queue = RankingQueue(name, Metrics([]), 50, 20)
        await asyncio.gather(*(queue.rank("job2skill", ["a"], None) for _ in range(20)))
        queue.close()

    asyncio.run(main())
    assert len(names) == 1
    assert threading.current_thread().name not in names

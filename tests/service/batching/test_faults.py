"""A fault stays with the request that has it, and the computing thread comes back."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.batching import Batcher
from tests.service.batching.driving import best, busy, queued, run, until
from tests.service.conftest import FakeRanker
from uwe_core.encoder import TokenisedTexts
from uwe_core.errors import (
    EmptyTextError,
    NotReadyError,
    WorkerError,
)
from uwe_core.token_embeddings import TokenEmbeddings


@given(st.integers(0, 8), st.integers(1, 9))
@settings(max_examples=20)
def test_a_query_that_fails_fails_its_own_request_alone(place: int, requests: int) -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        ranker.poison = "poison"
        first = await busy(batcher, ranker)
        tasks = [
            await queued(batcher, *(["fine", "poison"] if number == place else [f"query {number}"]))
            for number in range(requests)
        ]
        ranker.release.set()
        await first
        for number, task in enumerate(tasks):
            if number == place:
                with pytest.raises(ArithmeticError):
                    await task
            else:
                assert best((await task)[0]) == "T7"

    run(test)


def test_after_a_fault_the_next_request_is_computed() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        ranker.fails = MemoryError("no room")
        with pytest.raises(MemoryError):
            await batcher.rank("job2skill", ["a"], 1)
        assert len(await batcher.rank("job2skill", ["a"], 1)) == 1

    run(test)


def test_a_bad_text_is_named_by_its_place_in_the_whole_request() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        await batcher.rank("job2skill", ["a", "b"], 1)  # known, and so not tokenised again
        with pytest.raises(EmptyTextError, match="text 4 is empty") as raised:
            await batcher.rank("job2skill", ["a", "c", "b", "c", "", "e", ""], 1)
        assert raised.value.position == 4
        with pytest.raises(EmptyTextError, match="text 1 is empty"):  # long enough to be tokenised on a thread
            await batcher.rank("job2skill", ["x" * 3000, " "], 1)

    run(test)


def test_a_thread_that_dies_fails_its_requests_and_comes_back() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        told: list[bool] = []
        back = asyncio.Event()
        loop = asyncio.get_running_loop()

        def tell(alive: bool) -> None:
            told.append(alive)
            if alive:
                loop.call_soon_threadsafe(back.set)

        batcher._computing._on_alive = tell
        first = await busy(batcher, ranker)
        second = await queued(batcher, "b")
        ranker.fails = SystemExit("a bug")
        ranker.release.set()
        for task in (first, second):
            with pytest.raises(WorkerError):
                await task
        await asyncio.wait_for(back.wait(), 20)
        assert told == [False, True]
        assert len(await batcher.rank("job2skill", ["c"], 1)) == 1

    metrics = run(test)
    assert metrics.registry.get_sample_value("uwe_worker_restarts_total") == 1


def test_while_nothing_can_be_computed_requests_are_refused() -> None:
    class Dying(FakeRanker):
        """Dies on the first pass, fails the second (the first probe), and holds the third until it is released."""

        tries = 0

        def encode(self, tokenised: TokenisedTexts) -> TokenEmbeddings:
            self.tries += 1
            if self.tries == 1:
                raise KeyboardInterrupt
            if self.tries == 2:
                raise RuntimeError("not yet")
            return super().encode(tokenised)

    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        ranker.release.clear()
        with pytest.raises(WorkerError):
            await batcher.rank("job2skill", ["a"], 1)
        assert await asyncio.to_thread(ranker.started.wait, 20)
        assert not batcher.alive
        with pytest.raises(NotReadyError):
            await batcher.rank("job2skill", ["a"], 1)
        ranker.release.set()
        await until(lambda: batcher.alive)
        assert len(await batcher.rank("job2skill", ["a"], 1)) == 1

    run(test, Dying())

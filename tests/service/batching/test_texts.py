"""Texts to be encoded alone wait where queries wait: in turns, bounded, sharing passes, failing alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.batching import Batcher, EmbeddedTexts, Reading
from tests.service.batching.driving import best, busy, queued, run, until
from tests.service.conftest import FakeRanker
from uwe_core.errors import DeadlineError, EmptyTextError, LimitError, LongTextError, OverloadedError, ShuttingDownError
from uwe_core.target_space import SpaceInfo, TargetSpace


async def embedding(batcher: Batcher, *texts: str) -> asyncio.Task[EmbeddedTexts]:
    """A request that waits for the embeddings of its texts."""
    request = asyncio.create_task(batcher.embed(texts))
    await asyncio.sleep(0)
    return request


def read(embedded: EmbeddedTexts) -> list[str]:
    """The texts whose embeddings these are; a token of the fake ranker is a character."""
    return ["".join(chr(int(number)) for number in tokens[:, 0]) for tokens in embedded.tokens]


def space(targets: Sequence[str]) -> TargetSpace:
    return TargetSpace(SpaceInfo(name="given"), [str(place) for place in range(len(targets))], targets)


@given(st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=9), st.sampled_from([0, 1, 8]))
@settings(max_examples=15)
def test_each_text_gets_its_own_embeddings_whatever_shares_its_pass(texts: list[str], batch_tokens: int) -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        results = await asyncio.gather(
            batcher.embed(texts), batcher.rank("job2skill", texts, 1), batcher.embed(texts[::-1])
        )
        assert read(results[0]) == texts
        assert [best(answer) for answer in results[1]] == [f"T{len(text)}" for text in texts]
        assert read(results[2]) == texts[::-1]

    run(test, batch_tokens=batch_tokens)


def test_texts_and_queries_share_passes_and_embeddings() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        texts, query = await embedding(batcher, "nurse", "welder", "nurse"), await queued(batcher, "welder", "bb")
        ranker.release.set()
        await first
        assert read(await texts) == ["nurse", "welder", "nurse"]
        assert len(await query) == 2
        assert ranker.passes == [["a"], ["nurse", "welder", "bb"]]
        assert read(await batcher.embed(["bb", "a"])) == ["bb", "a"]  # known from queries
        assert len(ranker.passes) == 2

    metrics = run(test)
    assert metrics.registry.get_sample_value("uwe_batch_queries_sum") == 1 + 4 + 2
    assert metrics.registry.get_sample_value("uwe_stage_seconds_count", {"stage": "score"}) == 2


@pytest.mark.parametrize("kind", ["embed", "rank_given"])
def test_a_ranking_waits_for_one_text_of_a_large_request_in_front(kind: str) -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        texts = [f"large {number}" for number in range(40)]
        if kind == "embed":
            large: asyncio.Task[Any] = await embedding(batcher, *texts)
        else:
            large = asyncio.create_task(batcher.rank_given(space(texts), ["query"], 1))
            await asyncio.sleep(0)
        small = await queued(batcher, "small")
        ranker.release.set()
        await first
        assert best((await small)[0]) == "T5"
        assert ranker.ranked.index("small") == 2
        await large

    run(test, batch_tokens=8)


def test_a_cancelled_request_for_embeddings_is_never_computed() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        gone, last = await embedding(batcher, "b", "c"), await embedding(batcher, "d")
        given_targets = asyncio.create_task(batcher.rank_given(space(["e", "f"]), ["g"], 1))
        await asyncio.sleep(0)
        for request in (gone, given_targets):
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
        ranker.release.set()
        await first
        assert read(await last) == ["d"]
        assert ranker.ranked == ["a", "d"]

    run(test)


def test_waiting_is_bounded_in_number_and_in_time() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        late = await embedding(batcher, "b")
        for refused in (batcher.embed(["c"]), batcher.rank_given(space(["c"]), ["d"], 1)):
            with pytest.raises(OverloadedError):
                await refused
        await asyncio.sleep(0.1)
        ranker.release.set()
        await first
        with pytest.raises(DeadlineError, match="1 texts were not yet begun"):
            await late

    run(test, max_waiting=2, deadline_seconds=0.05)


def test_what_waits_when_the_server_is_gone_fails() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        waiting = await embedding(batcher, "b")
        batcher.close()
        with pytest.raises(ShuttingDownError):
            await waiting
        ranker.release.set()
        await first

    run(test)


@given(st.integers(0, 6), st.integers(1, 7))
@settings(max_examples=15)
def test_a_text_that_fails_fails_its_own_request_alone(place: int, requests: int) -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        ranker.poison = "poison"
        first = await busy(batcher, ranker)
        query = await queued(batcher, "query 7")
        tasks = [
            await embedding(batcher, *(["fine", "poison"] if number == place else [f"text {number}"]))
            for number in range(requests)
        ]
        ranker.release.set()
        await first
        assert best((await query)[0]) == "T7"
        for number, task in enumerate(tasks):
            if number == place:
                with pytest.raises(ArithmeticError):
                    await task
            else:
                assert read(await task) == [f"text {number}"]

    run(test)


def test_a_thread_that_dies_fails_those_who_wait_for_embeddings_too() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        waiting = await embedding(batcher, "b")
        ranker.fails = SystemExit("a bug")
        ranker.release.set()
        for task in (first, waiting):
            with pytest.raises(Exception, match="the computing thread died"):
                await task
        await until(lambda: batcher.alive)
        assert read(await batcher.embed(["c"])) == ["c"]

    run(test)


def test_bad_and_long_texts_are_named_by_their_place_before_anything_is_computed() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        for texts, error, place in ((["a", "b", " "], EmptyTextError, 2), (["a", "a long one"], LongTextError, 1)):
            with pytest.raises(error) as raised:
                await batcher.embed(texts, Reading(refuse_longer=True))
            assert raised.value.position == place
        with pytest.raises(EmptyTextError) as raised:  # after the targets come the queries
            await batcher.rank_given(space(["a", "b"]), ["c", ""], 1)
        assert raised.value.position == 3
        with pytest.raises(LimitError, match="the texts have 7 tokens; those of one request may have 6"):
            await batcher.embed(["abc", "abcd"], most_tokens=6)
        assert ranker.passes == []
        cut = await batcher.embed(["a long one", "abc"], Reading(most_tokens=3))
        assert read(cut) == ["a l", "abc"]
        assert [(cut.position, cut.kept_tokens) for cut in cut.truncations] == [(0, 512)]

    run(test)


def test_rankings_of_given_targets_are_not_kept_and_do_not_count_as_lookups() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        for _ in range(2):
            _, (answer,) = await batcher.rank_given(space(["nurse", "weld metal"]), ["nurse"], 1)
            assert best(answer) == "1"

    metrics = run(test)
    values = {
        name: metrics.registry.get_sample_value("uwe_cache_lookups_total", {"cache": name, "result": "hit"})
        for name in ("answer", "embedding")
    }
    assert values == {"answer": 0, "embedding": 4}  # the query when it is ranked, then both texts, then the query again
    assert metrics.registry.get_sample_value("uwe_answer_cache_entries") == 0

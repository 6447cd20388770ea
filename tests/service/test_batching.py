"""The batcher in front of the computing thread: shared, fair, bounded, and alive whatever a request does to it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.batching import Batcher
from service.batching.drain_rate import DrainRate
from service.observability import Metrics
from service.settings import Settings
from tests.fakes import save_tiny_model
from tests.service.conftest import FakeRanker
from uwe_core.encoder import TokenisedTexts
from uwe_core.errors import (
    DeadlineError,
    EmptyTextError,
    NotReadyError,
    OverloadedError,
    ShuttingDownError,
    WorkerError,
)
from uwe_core.interaction import InteractionConfig
from uwe_core.model import UweModel
from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.tasks import standard_tasks
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import TokenIndex

_ROUNDING = 1e-4
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


def test_the_computing_thread_is_one() -> None:
    names: set[str] = set()

    class Named(FakeRanker):
        def encode(self, tokenised: TokenisedTexts) -> TokenEmbeddings:
            names.add(threading.current_thread().name)
            return super().encode(tokenised)

    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        await asyncio.gather(*(batcher.rank("job2skill", [f"{number}"], None) for number in range(20)))

    run(test, Named())
    assert names == {"ranking"}
    assert threading.current_thread().name != "ranking"


# Sharing


def test_requests_of_all_tasks_and_spaces_share_one_pass() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        rest = [
            await queued(batcher, "nurse", "welder", task="job2skill"),
            await queued(batcher, "nurse", task="skillsim"),
            await queued(batcher, "bake bread", "nurse", task="skill2job"),
        ]
        ranker.release.set()
        for task in (first, *rest):
            await task
        assert ranker.passes == [["a"], ["nurse", "bake bread", "welder"]]
        assert sorted(ranker.scored[1:]) == [("sample-jobs", 2), ("sample-skills", 2)]

    metrics = run(test)
    assert metrics.registry.get_sample_value("uwe_batch_queries_count") == 2
    assert metrics.registry.get_sample_value("uwe_batch_queries_sum") == 6
    assert metrics.registry.get_sample_value("uwe_batch_tokens_sum") == 1 + 3 * len("nurse") + len("welderbake bread")


@pytest.mark.parametrize("entries", [0, 9])
def test_equal_queries_that_wait_together_are_computed_once(entries: int) -> None:
    selected: list[str] = []

    class Counting(FakeRanker):
        def select(self, *args: Any) -> Any:
            selected.append(args[2])
            return super().select(*args)

    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        same = [await queued(batcher, "nurse") for _ in range(4)]
        ranker.release.set()
        await first
        assert len({result for task in same for result in await task}) == 1
        assert selected == ["a", "nurse"]

    run(test, Counting(), answer_cache_entries=entries)


def test_a_query_answered_for_another_while_it_waits_is_not_computed_again() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        same = await queued(batcher, "a")
        ranker.release.set()
        assert await first == await same
        assert ranker.ranked == ["a"]

    run(test, embedding_cache_bytes=0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["job2skill", "skillsim", "jobnorm"]),
            st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=5),
            st.sampled_from([None, 1, 7]),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([0, 1, 8]),
    st.sampled_from([0, 3]),
)
@settings(max_examples=30)
def test_any_mix_of_requests_gets_the_answers_of_single_requests(
    requests: list[tuple[str, list[str], int | None]], batch_tokens: int, entries: int
) -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        answers = await asyncio.gather(*(batcher.rank(*request) for request in requests))
        for (_, queries, top_k), results in zip(requests, answers, strict=True):
            read = [json.loads(result) for result in results]
            assert [result["query"] for result in read] == queries
            assert [result["targets"][0]["id"] for result in read] == [f"T{len(query)}" for query in queries]
            assert {len(result["targets"]) for result in read} == {top_k or 10}

    run(test, batch_tokens=batch_tokens, answer_cache_entries=entries, embedding_cache_bytes=10 * entries)


@pytest.fixture(scope="module")
def tiny_ranker(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Ranker:
    folder: Path = save_tiny_model("bert", tmp_path_factory.mktemp("model") / "bert")
    model = UweModel.from_pretrained(folder, device="cpu")
    model = model.with_interaction(InteractionConfig(interaction_temperature=1))
    texts = {
        "sample-skills": ["weld metal", "bake bread", "nurse", "NURSE", "take blood pressure", "care for people"],
        "sample-jobs": ["nurse", "welder", "baker", "nurse , baker"],
    }
    spaces = {}
    for name, targets in texts.items():
        space = TargetSpace(SpaceInfo(name=name), [f"{number}" for number in range(len(targets))], targets)
        spaces[name] = RankableSpace(model, space, TokenIndex.build(model.encoder, space))
    return Ranker(model, spaces, standard_tasks("sample"))


def test_batched_with_a_real_encoder_answers_are_those_of_single_requests(tiny_ranker: Ranker) -> None:
    words = ["nurse", "Nurse", "weld", "bake bread", "take blood pressure ( a )", "care for people " * 9, "b c a"]
    queries = st.lists(st.sampled_from(words), min_size=1, max_size=3)
    requests = st.lists(
        st.tuples(st.sampled_from(sorted(tiny_ranker.tasks)), queries, st.sampled_from([None, 2, 99])),
        min_size=2,
        max_size=4,
    )

    @given(requests, st.sampled_from([0, 8]))
    @settings(max_examples=6)
    def mixed(requests: list[tuple[str, list[str], int | None]], batch_tokens: int) -> None:
        async def test(batcher: Batcher, ranker: Ranker) -> None:
            answers = await asyncio.gather(*(batcher.rank(*request) for request in requests))
            for (task, queries, top_k), results in zip(requests, answers, strict=True):
                for query, result in zip(queries, results, strict=True):
                    same_ranking(json.loads(result), ranker, task, query, top_k)

        run(test, tiny_ranker, batch_tokens=batch_tokens)

    mixed()


def same_ranking(result: dict[str, Any], ranker: Ranker, task: str, query: str, top_k: int | None) -> None:
    """The ranker's own answer: the same scores in the same order, and the same targets but for ties."""
    alone = ranker.rank(task, [query], 99)
    count = top_k or ranker.task(task).default_top_k
    expected = [target.score for target in alone.rankings[0]][:count]
    assert [target["score"] for target in result["targets"]] == pytest.approx(expected, abs=_ROUNDING)
    own = {target.id: target.score for target in alone.rankings[0]}
    for target, score in zip(result["targets"], expected, strict=True):
        assert own[target["id"]] == pytest.approx(score, abs=_ROUNDING)
    cuts = [{"tokens": cut.tokens, "kept_tokens": cut.kept_tokens} for cut in alone.truncations]
    assert result["truncated"] == (cuts[0] if cuts else None)


# Fairness


@given(st.integers(1, 40), st.integers(1, 4))
@settings(max_examples=10)
def test_a_small_request_waits_for_one_text_of_each_large_one(texts: int, large: int) -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        tasks = [await queued(batcher, *(f"large {number} {text}" for text in range(texts))) for number in range(large)]
        small = await queued(batcher, "small")
        ranker.release.set()
        for task in (first, *tasks, small):
            await task
        assert ranker.ranked.index("small") == 1 + large
        assert all(len(texts) == 1 for texts in ranker.passes)

    run(test, batch_tokens=5)


def test_a_batch_is_bounded_by_explanations_too() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        request = asyncio.create_task(batcher.rank("job2skill", ["b", "c", "d", "e"], 100, explain=True))
        await asyncio.sleep(0)
        plain = await queued(batcher, "f")
        ranker.release.set()
        for task in (first, request, plain):
            await task
        assert [sorted(texts) for texts in ranker.passes] == [["a"], ["b", "c", "f"], ["d", "e"]]
        assert [len(targets) for _, targets in ranker.explained] == [30] * 4

    run(test)


def test_a_batch_is_bounded_by_tokens_and_takes_what_fits() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        first = await busy(batcher, ranker)
        rest = [await queued(batcher, query) for query in ("bb", "ccc", "dddddddddddd", "e")]
        ranker.release.set()
        for task in (first, *rest):
            await task
        assert ranker.passes == [["a"], ["bb", "ccc"], ["dddddddddddd"], ["e"]]

    run(test, batch_tokens=6)


# Faults


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

        batcher._on_alive = tell
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


# Caches


def lookups(metrics: Metrics, cache: str) -> tuple[float | None, float | None]:
    hits, misses = (
        metrics.registry.get_sample_value("uwe_cache_lookups_total", {"cache": cache, "result": result})
        for result in ("hit", "miss")
    )
    return hits, misses


def test_an_answer_is_kept_for_its_task_text_and_top_k() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        (ten,) = await batcher.rank("job2skill", ["nurse"], None)
        assert await batcher.rank("job2skill", ["nurse", "nurse"], 10) == [ten, ten]  # ten is the default
        assert len(ranker.scored) == 1
        assert (await batcher.rank("job2skill", ["nurse"], 9))[0] != ten
        assert json.loads((await batcher.rank("job2skill", ["Nurse"], 10))[0])["query"] == "Nurse"
        await batcher.rank("skillsim", ["nurse"], 10)
        assert len(ranker.scored) == 4
        assert ranker.ranked == ["nurse", "Nurse"]  # its token embeddings serve all tasks

    metrics = run(test)
    assert lookups(metrics, "answer") == (1, 4)
    assert lookups(metrics, "embedding") == (2, 2)
    assert metrics.registry.get_sample_value("uwe_embedding_cache_bytes") == 4 * len("nurseNurse")


def test_caches_are_bounded_and_can_be_off() -> None:
    async def two_texts_in_turn(batcher: Batcher, ranker: FakeRanker) -> None:
        for query in ("aa", "bb", "aa", "bb"):
            await batcher.rank("job2skill", [query], 1)

    for limits, scored, encoded in (
        ({"answer_cache_entries": 2}, 2, 2),
        ({"answer_cache_entries": 1}, 4, 2),
        ({"answer_cache_entries": 0}, 4, 2),
        ({"answer_cache_entries": 0, "embedding_cache_bytes": 8}, 4, 4),  # a character is one float32
        ({"answer_cache_entries": 0, "embedding_cache_bytes": 0}, 4, 4),
    ):
        ranker = FakeRanker()
        metrics = run(two_texts_in_turn, ranker, **limits)
        assert (len(ranker.scored), len(ranker.ranked)) == (scored, encoded)
        entries = metrics.registry.get_sample_value("uwe_answer_cache_entries")
        assert entries == min(limits["answer_cache_entries"], 2)


def test_a_very_long_answer_is_not_kept() -> None:
    async def test(batcher: Batcher, ranker: FakeRanker) -> None:
        for _ in range(2):
            await batcher.rank("job2skill", ["x" * 70_000], 1)
        assert len(ranker.scored) == 2

    run(test)

"""Requests share passes of the encoder, fairly, and get the answers that each would get alone."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.batching import Batcher
from tests.fakes import save_tiny_model
from tests.service.batching.driving import busy, queued, run
from tests.service.conftest import FakeRanker
from uwe_core.encoder import TokenisedTexts
from uwe_core.interaction import InteractionConfig
from uwe_core.model import UweModel
from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.tasks import standard_tasks
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import TokenIndex

_ROUNDING = 1e-4


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

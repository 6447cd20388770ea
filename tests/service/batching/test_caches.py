"""Answers and embeddings are kept within their bounds."""

from __future__ import annotations

import json

from service.batching import Batcher
from service.observability import Metrics
from tests.service.batching.driving import run
from tests.service.conftest import FakeRanker


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

"""What the clients give back is what the service says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service import client as uwe
from service.app import create_app
from service.settings import Settings
from tests.service.client.servers import asynchronous, forwarded
from tests.service.conftest import TARGETS, FakeRanker


def test_rankings_are_what_the_service_says(client: TestClient, blocking: uwe.UweClient) -> None:
    answer = client.post("/rank/job2skill", json={"queries": ["nurse", "long nurse"], "top_k": 2}).json()
    rankings = blocking.rank("job2skill", ["nurse", "long nurse"], top_k=2)
    assert rankings.task == "job2skill"
    assert rankings.model == uwe.ModelSummary(**answer["model"])
    assert rankings.index == uwe.IndexSummary(**answer["index"])
    for result, said in zip(rankings.results, answer["results"], strict=True):
        assert result.query == said["query"]
        assert result.targets == tuple(uwe.Target(**target) for target in said["targets"])
    assert [result.truncated for result in rankings.results] == [None, uwe.Truncated(600, 512)]


def test_explanations_and_parts_of_a_ranking_are_what_the_service_says(
    client: TestClient, blocking: uwe.UweClient
) -> None:
    asked: uwe.RankOptions = {"top_k": 2, "offset": 1, "exclude": ["3"], "explain": True, "filter": {"parity": "odd"}}
    (said,) = client.post("/rank/job2skill", json={"query": "nurse", **asked}).json()["results"]
    (result,) = blocking.rank("job2skill", "nurse", **asked).results
    assert result.query_tokens == tuple(uwe.Token(**token) for token in said["query_tokens"])
    assert [target.id for target in result.targets] == [target["id"] for target in said["targets"]]
    for target, told in zip(result.targets, said["targets"], strict=True):
        assert target.explanation is not None
        assert target.explanation.pairs == tuple(uwe.Contribution(**pair) for pair in told["explanation"]["pairs"])
        assert list(target.explanation.rest) == told["explanation"]["rest"]


def test_targets_that_are_sent_along_are_ranked(blocking: uwe.UweClient) -> None:
    targets: list[Any] = ["weld metal", {"id": "n", "text": "nurse", "metadata": {"level": 2}}]
    rankings = blocking.rank_targets(["nurse", "weld"], targets, top_k=1)
    assert (rankings.task, rankings.index.space) == ("zero-shot", None)
    assert [result.query for result in rankings.results] == ["nurse", "weld"]
    best = rankings.results[0].targets[0]
    assert (best.id, best.text, best.metadata) == ("n", "nurse", {"level": 2})
    reranked = blocking.rerank("nurse", ["weld metal", "nurse"])
    assert (reranked[0].index, reranked[0].text) == (1, "nurse")
    assert reranked[0].score == pytest.approx(best.normalised_score, abs=1e-5)
    raw = blocking.rerank("nurse", ["weld metal", "nurse"], raw_scores=True)
    assert raw[0].score == pytest.approx(best.score, abs=1e-5)
    with pytest.raises(uwe.RefusedError, match=r"texts\[1\] is empty"):
        blocking.rerank("nurse", ["weld", ""])


def test_embeddings_are_what_the_service_says(words_client: TestClient) -> None:
    with uwe.UweClient("http://testserver", transport=forwarded(words_client)) as client:
        means, tokens = (client.embed(["nurse", "a " * 23], tokens=which) for which in (False, True))
    said = words_client.post("/embed", json={"texts": ["nurse", "a " * 23]}).json()
    assert means.model == uwe.ModelSummary(**said["model"])
    assert (means.dimension, means.normalised) == (said["dimension"], False)
    for mean, of_tokens, result in zip(means.results, tokens.results, said["results"], strict=True):
        assert list(mean.embedding or ()) == pytest.approx(result["embedding"])
        vectors = of_tokens.token_embeddings or ()
        assert len(vectors) == len(of_tokens.tokens or ())
        assert [sum(components) / len(vectors) for components in zip(*vectors, strict=True)] == pytest.approx(
            result["embedding"], abs=1e-5
        )
        assert (mean.tokens, mean.token_embeddings, of_tokens.embedding) == (None, None, None)
    assert [result.truncated for result in means.results] == [None, uwe.Truncated(25, 24)]


def test_items_have_answers_or_errors_and_ids_of_their_own(blocking: uwe.UweClient, ranker: FakeRanker) -> None:
    items: list[str | uwe.RankItem] = [
        {"id": "a", "query": "nurse", "top_k": 1},
        "\ud800",
        {"id": 7, "query": "weld", "top_k": 1, "exclude": ("T4",), "filter": {"parity": "odd"}},
        {"query": " "},
        "cc",
    ]
    results = list(blocking.rank_items("job2skill", iter(items), batch_size=2, concurrency=2))
    assert [result.id for result in results] == ["a", None, 7, None, None]
    codes = [result.error and result.error.code for result in results]
    assert codes == [None, "invalid_text", None, "empty_text", None]
    assert [target.id for result in (results[0], results[2]) if result.result for target in result.result.targets] == [
        "T5",
        "T3",
    ]

    async def main() -> list[uwe.BatchResult]:
        async with asynchronous(create_app(Settings(), ranker)) as client:
            return [result async for result in client.rank_items("job2skill", items, batch_size=2)]

    assert asyncio.run(main()) == results
    with pytest.raises(uwe.UnknownTaskError):
        list(blocking.rank_items("nonsense", ["a"]))


def test_the_skills_of_a_vacancy_are_what_the_service_says(
    client: TestClient, blocking: uwe.UweClient, ranker: FakeRanker
) -> None:
    asked: uwe.ExtractOptions = {"top_k": 2, "explain": True, "filter": {"parity": "even"}, "exclude": ["T0"]}
    text = "- weld\n- bake bread"
    said = client.post("/extract", json={"text": text, **asked}).json()
    extraction = blocking.extract(text, **asked)
    assert (extraction.task, extraction.sentences) == (said["task"], said["sentences"])
    for skill, told in zip(extraction.skills, said["skills"], strict=True):
        assert (skill.id, skill.rank, skill.metadata) == (told["id"], told["rank"], told["metadata"])
        for found, evidence in zip(skill.evidence, told["evidence"], strict=True):
            assert text[found.start : found.end] == found.text == evidence["text"]
            assert found.words == tuple(uwe.Word(**word) for word in evidence["words"])

    async def main() -> uwe.Extraction:
        async with asynchronous(create_app(Settings(), ranker)) as asynchronous_client:
            return await asynchronous_client.extract(text, **asked)

    assert asyncio.run(main()) == extraction


def test_a_single_query_has_the_tasks_own_number_of_targets(blocking: uwe.UweClient) -> None:
    (result,) = blocking.rank("skill2job", "weld").results
    assert (result.query, len(result.targets)) == ("weld", 10)


def test_the_targets_of_a_space_are_all_returned(blocking: uwe.UweClient) -> None:
    assert len(blocking.rank("job2skill", "nurse", top_k=100).results[0].targets) == TARGETS


def test_tasks_and_readiness(client: TestClient, blocking: uwe.UweClient) -> None:
    assert [vars(task) for task in blocking.tasks()] == client.get("/tasks").json()["tasks"]
    ready = blocking.ready()
    assert (ready.model.name, ready.device, ready.backend, ready.threads) == ("fake", "cpu", "onnx", 3)

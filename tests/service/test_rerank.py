"""`/rerank`, `/v1/rerank` and `/v2/rerank`: the shapes of other services over the ranking of this one."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes import TINY_LIMIT
from uwe_core.ranker import Ranker

_WORDS = "a b c nurse welder baker weld metal bake bread care for people , . ( )".split()  # noqa: SIM905
_TEXT = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=6).map(" ".join)
_COHERE = ("/v1/rerank", "/v2/rerank")


def ranked(client: TestClient, query: str, texts: list[str]) -> list[dict[str, Any]]:
    """The targets of `POST /rank`, all of them."""
    answer = client.post("/rank", json={"query": query, "targets": texts, "top_k": len(texts)})
    targets: list[dict[str, Any]] = answer.json()["results"][0]["targets"]
    return targets


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_TEXT, st.lists(_TEXT, min_size=1, max_size=12), st.booleans(), st.booleans(), st.integers(1, 15))
def test_reranking_is_ranking(
    words_client: TestClient, query: str, texts: list[str], raw_scores: bool, with_text: bool, top_n: int
) -> None:
    targets = ranked(words_client, query, texts)
    asked = {"query": query, "texts": texts, "raw_scores": raw_scores, "return_text": with_text}
    score = "score" if raw_scores else "normalised_score"
    expected = [
        {"index": int(target["id"]), "score": pytest.approx(target[score], abs=1e-5)}
        | ({"text": target["text"]} if with_text else {})
        for target in targets
    ]
    assert words_client.post("/rerank", json=asked).json() == expected
    for path in _COHERE:
        body = {"model": "uwe", "query": query, "documents": texts, "top_n": top_n, "return_documents": with_text}
        results = words_client.post(path, json=body).json()["results"]
        assert results == [
            {
                "index": int(target["id"]),
                "relevance_score": pytest.approx(target["normalised_score"], abs=1e-5),
            }
            | ({"document": {"text": target["text"]}} if with_text else {})
            for target in targets[:top_n]
        ]


@pytest.mark.parametrize("path", _COHERE)
def test_the_answer_has_coheres_form(words: Ranker, words_client: TestClient, path: str) -> None:
    documents = ["weld metal", {"text": "nurse", "title": "a job"}]
    response = words_client.post(
        path,
        json={"model": "uwe", "query": "nurse", "documents": documents, "return_documents": True},
        headers={"X-Request-ID": "abc"},
    )
    answer = response.json()
    assert [result["document"] for result in answer.pop("results")] == [documents[1], {"text": "weld metal"}]
    assert answer == {
        "id": "abc",
        "meta": {
            "api_version": {"version": path[2]},
            "model": {"name": words.model.name, "fingerprint": words.model.fingerprint},
        },
    }


def test_so_many_tokens_of_a_document_are_read(words_client: TestClient) -> None:
    def scores(documents: list[str], **limit: int) -> Any:
        body = {"query": "nurse , baker", "documents": documents, **limit}
        results = words_client.post("/v2/rerank", json=body).json()["results"]
        return {result["index"]: pytest.approx(result["relevance_score"], abs=1e-5) for result in results}

    # [CLS] and [SEP] are two of the four
    assert scores(["weld metal bake bread"], max_tokens_per_doc=4) == scores(["weld metal"])
    assert scores(["weld metal bake bread"], max_tokens_per_doc=6) == scores(["weld metal bake bread"])
    assert scores(["weld metal bake bread"], max_tokens_per_doc=4096) == scores(["weld metal bake bread"])
    assert scores(["weld metal bake bread"]) != scores(["weld metal"])


def test_a_text_too_long_is_read_from_its_beginning_unless_that_is_refused(words_client: TestClient) -> None:
    long = "care for people " * 9
    cut = " ".join(long.split()[: TINY_LIMIT - 2])
    body: dict[str, Any] = {"query": "nurse", "texts": ["weld metal", long, cut]}
    for truncate in ({}, {"truncate": True}):
        results = words_client.post("/rerank", json=body | truncate).json()
        scores = {result["index"]: result["score"] for result in results}
        assert scores[1] == pytest.approx(scores[2], abs=1e-5)
    refused = words_client.post("/rerank", json=body | {"truncate": False})
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")
    assert refused.json()["error"]["message"] == f"texts[1] has 29 tokens; {TINY_LIMIT} of them can be read"
    refused = words_client.post("/rerank", json={"query": long, "texts": ["a"], "truncate": False})
    assert refused.json()["error"]["message"].startswith("query has 29 tokens")


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "message"),
    [
        ("/rerank", {"texts": ["a"]}, 422, "invalid_request", "query"),
        ("/rerank", {"query": "a", "texts": []}, 422, "invalid_request", "texts"),
        ("/rerank", {"query": "a", "documents": ["b"]}, 422, "invalid_request", "documents"),
        ("/rerank", {"query": "a", "texts": ["b", ""]}, 422, "empty_text", "texts[1] is empty"),
        ("/rerank", {"query": " ", "texts": ["b"]}, 422, "empty_text", "query is empty"),
        ("/rerank", {"query": "a", "texts": ["b"] * 13}, 413, "too_large", "13 texts; one request may bring 12"),
        ("/rerank", {"query": "a" * 401, "texts": ["b"]}, 413, "too_large", "query has 401 characters"),
        ("/rerank", {"query": "a", "texts": ["b"], "model": "x"}, 404, "unknown_model", "no model 'x'"),
        ("/v2/rerank", {"query": "a", "documents": ["b", " "], "model": "uwe"}, 422, "empty_text", "documents[1]"),
        ("/v2/rerank", {"query": "a", "documents": [{"title": "b"}]}, 422, "invalid_request", "a document has"),
        ("/v2/rerank", {"query": "a", "documents": ["b"], "top_n": 0}, 422, "invalid_request", "top_n"),
        ("/v2/rerank", {"query": "a", "documents": ["b"], "max_tokens_per_doc": 0}, 422, "invalid_request", "max"),
        ("/v1/rerank", {"query": "a", "documents": ["b"], "model": "rerank-v3.5"}, 404, "unknown_model", "rerank-v3.5"),
        ("/v1/rerank", {"query": "a", "documents": ["b" * 601]}, 413, "too_large", "documents have 601 characters"),
    ],
)  # fmt: skip
def test_what_cannot_be_reranked_is_refused_by_its_place(
    words_client: TestClient, path: str, body: Any, status: int, code: str, message: str
) -> None:
    refused = words_client.post(path, json=body)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (status, code), error
    assert message in error["message"]

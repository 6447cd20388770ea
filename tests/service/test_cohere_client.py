"""Cohere's own client against the real server: what it sends is understood, and what it gets is what it reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.service.test_end_to_end import running

cohere = pytest.importorskip("cohere", reason="Cohere's client is not installed: pip install cohere")

_QUERY = "pharmacy technician"
_DOCUMENTS = ["weld metal sheets", "dispense prescription medicines", "bake bread"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("cohere")
    with running(folder / "home", folder / "log") as server, server.ready() as client:
        yield client


def own(client: httpx.Client) -> list[tuple[int, Any]]:
    """What `POST /rank` says."""
    targets = client.post("/rank", json={"query": _QUERY, "targets": _DOCUMENTS}).json()["results"][0]["targets"]
    return [(int(target["id"]), pytest.approx(target["normalised_score"], abs=1e-5)) for target in targets]


def test_the_second_version_of_the_client_reranks(client: httpx.Client) -> None:
    cohere_client = cohere.ClientV2(base_url=str(client.base_url), api_key="none")
    answer = cohere_client.rerank(model="uwe", query=_QUERY, documents=_DOCUMENTS, max_tokens_per_doc=4096)
    assert [(result.index, result.relevance_score) for result in answer.results] == own(client)
    assert answer.results[0].index == 1
    assert answer.meta.api_version.version == "2"
    assert len(cohere_client.rerank(model="embedded", query=_QUERY, documents=_DOCUMENTS, top_n=1).results) == 1


def test_the_first_version_of_the_client_reranks_and_gets_documents_back(client: httpx.Client) -> None:
    cohere_client = cohere.Client(base_url=str(client.base_url), api_key="none")
    documents: list[Any] = [{"text": text, "kind": "skill"} for text in _DOCUMENTS]
    answer = cohere_client.rerank(model="uwe", query=_QUERY, documents=documents, return_documents=True, top_n=2)
    assert [(result.index, result.relevance_score) for result in answer.results] == own(client)[:2]
    assert answer.results[0].document.text == _DOCUMENTS[1]
    assert answer.meta.api_version.version == "1"


def test_what_is_refused_is_an_error_of_the_client(client: httpx.Client) -> None:
    cohere_client = cohere.ClientV2(base_url=str(client.base_url), api_key="none")
    with pytest.raises(cohere.NotFoundError) as raised:
        cohere_client.rerank(model="rerank-v3.5", query=_QUERY, documents=_DOCUMENTS)
    assert raised.value.body["error"]["code"] == "unknown_model"
    with pytest.raises(cohere.UnprocessableEntityError) as raised:
        cohere_client.rerank(model="uwe", query=_QUERY, documents=["fine", " "])
    assert raised.value.body["error"]["message"] == "documents[1] is empty"


def test_vectors_and_reranking_as_clients_of_text_embeddings_inference_ask(client: httpx.Client) -> None:
    answer = client.post("/rerank", json={"query": _QUERY, "texts": _DOCUMENTS, "return_text": True}).json()
    assert [(result["index"], result["score"]) for result in answer] == own(client)
    assert [result["text"] for result in answer] == [_DOCUMENTS[result["index"]] for result in answer]
    (vector,) = client.post("/embed", json={"inputs": _QUERY}).json()
    assert sum(component**2 for component in vector) == pytest.approx(1, abs=1e-5)

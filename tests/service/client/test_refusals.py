"""Errors of the service, and answers that are none."""

from __future__ import annotations

import pickle
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from service import client as uwe
from tests.service.client.servers import failing, forwarded
from tests.service.conftest import FakeRanker


@pytest.mark.parametrize(
    ("task", "queries", "top_k", "error", "status", "code"),
    [
        ("nonsense", "nurse", None, uwe.UnknownTaskError, 404, "unknown_task"),
        ("a/../b", "nurse", None, uwe.RefusedError, 404, "not_found"),
        ("job2skill", ["a"] * 6, None, uwe.TooLargeError, 413, "too_large"),
        ("job2skill", ["a", " "], None, uwe.RefusedError, 422, "empty_text"),
        ("job2skill", "\ud800", None, uwe.RefusedError, 422, "invalid_text"),
        ("job2skill", [], None, uwe.RefusedError, 422, "invalid_request"),
        ("job2skill", "nurse", 101, uwe.RefusedError, 422, "invalid_input"),
    ],
)
def test_what_the_service_refuses_is_told_in_its_words(
    blocking: uwe.UweClient, task: str, queries: Any, top_k: int | None, error: Any, status: int, code: str
) -> None:
    with pytest.raises(error) as raised:
        blocking.rank(task, queries, top_k=top_k)
    assert type(raised.value) is error
    assert (raised.value.status, raised.value.code) == (status, code)
    assert raised.value.request_id in str(raised.value)


def test_a_fault_of_the_server_is_not_repeated(client: TestClient, ranker: FakeRanker) -> None:
    ranker.poison = "nurse"
    waits: list[float] = []
    with (
        uwe.UweClient("http://testserver", transport=forwarded(client), sleep=waits.append) as blocking,
        pytest.raises(uwe.ServerFaultError, match="something went wrong"),
    ):
        blocking.rank("job2skill", "nurse")
    assert waits == []


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (lambda client: client.rerank("a", ["b", "c"]), [{"index": 0, "score": 1}, {"index": 0, "score": 0}]),
        (lambda client: client.rerank("a", ["b"]), [{"index": 1, "score": 1}]),
        (lambda client: client.embed("a"), {"model": {}, "dimension": 2, "normalised": False, "results": []}),
    ],
)
def test_answers_about_other_texts_are_none(call: Any, answer: Any) -> None:
    client, _, _ = failing(httpx.Response(200, json=answer))
    with pytest.raises(uwe.InvalidResponseError):
        call(client)


@pytest.mark.parametrize("embedding", ["AAAA", "AACAPwAAgD8AAIA_", "AACAPwAAgD8AAIA/", ""])
def test_vectors_of_another_length_are_refused(embedding: str) -> None:
    result = {"text": "a", "embedding": embedding, "tokens": None, "token_embeddings": None}
    body = {"model": {"name": "m", "fingerprint": "f"}, "dimension": 2, "normalised": False, "results": [result]}
    client, _, _ = failing(httpx.Response(200, json=body))
    with pytest.raises(uwe.InvalidResponseError):
        client.embed("a")


def test_errors_travel_between_processes() -> None:
    error = uwe.UnavailableError("because", 503, "overloaded", "r1", 2.0)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))

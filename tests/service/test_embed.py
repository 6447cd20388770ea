"""`POST /embed`: what comes back is what the encoder gives."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.routes import rank as rank_routes
from service.schemas.embed import EmbedResponse
from tests.fakes import TINY_LIMIT
from uwe_core.ranker import Ranker

_WORDS = "a b c nurse welder baker weld metal bake bread care for people , . ( )".split()  # noqa: SIM905
_TEXT = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=30).map(" ".join)
_ROUNDING = 1e-5


def post(client: TestClient, **body: Any) -> Any:
    return client.post("/embed", json=body)


def from_base64(written: str, dimension: int) -> np.ndarray[Any, Any]:
    return np.frombuffer(base64.b64decode(written), "<f4").reshape(-1, dimension)


def expected(words: Ranker, texts: list[str]) -> list[np.ndarray[Any, Any]]:
    """The token embeddings of each text, encoded alone."""
    encoder = words.model.encoder
    return [encoder.encode(encoder.tokenise([text])).embeddings.numpy() for text in texts]


def scaled(vectors: np.ndarray[Any, Any], normalise: bool) -> np.ndarray[Any, Any]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / lengths if normalise else vectors


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_TEXT, min_size=1, max_size=5), st.booleans(), st.sampled_from(["float", "base64"]))
def test_a_vector_is_the_mean_of_a_texts_tokens(
    words: Ranker, words_client: TestClient, texts: list[str], normalise: bool, encoding: str
) -> None:
    response = post(words_client, texts=texts, normalise=normalise, encoding_format=encoding)
    answer = response.json()
    assert json.loads(EmbedResponse.model_validate(answer).model_dump_json()) == answer  # no field less, none more
    assert answer["model"] == {"name": words.model.name, "fingerprint": words.model.fingerprint}
    assert (answer["dimension"], answer["normalised"]) == (words.model.encoder.dim, normalise)
    assert [result["text"] for result in answer["results"]] == texts
    for result, tokens in zip(answer["results"], expected(words, texts), strict=True):
        vector = result["embedding"]
        found = from_base64(vector, answer["dimension"])[0] if encoding == "base64" else np.array(vector)
        np.testing.assert_allclose(found, scaled(tokens.mean(axis=0), normalise), atol=_ROUNDING)
        assert (result["tokens"], result["token_embeddings"]) == (None, None)
        cut = result["truncated"]
        assert (cut is not None) == (len(result["text"].split()) + 2 > TINY_LIMIT)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.sampled_from(_WORDS), min_size=1, max_size=9).map(" ".join), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from(["float", "base64"]),
)
def test_token_embeddings_are_those_of_the_encoder_and_say_where_each_token_stands(
    words: Ranker, words_client: TestClient, texts: list[str], normalise: bool, encoding: str
) -> None:
    answer = post(words_client, texts=texts, tokens=True, normalise=normalise, encoding_format=encoding).json()
    assert json.loads(EmbedResponse.model_validate(answer).model_dump_json()) == answer
    for result, tokens in zip(answer["results"], expected(words, texts), strict=True):
        vectors = result["token_embeddings"]
        found = from_base64(vectors, answer["dimension"]) if encoding == "base64" else np.array(vectors)
        np.testing.assert_allclose(found, scaled(tokens, normalise), atol=_ROUNDING)
        first, *inner, last = result["tokens"]
        assert [first, last] == [{"token": name, "start": None, "end": None} for name in ("[CLS]", "[SEP]")]
        for token in inner:
            assert result["text"][token["start"] : token["end"]] == token["token"]
        assert (len(result["tokens"]), result["embedding"]) == (len(found), None)


def test_base64_holds_the_very_numbers(words_client: TestClient) -> None:
    numbers, packed = (
        post(words_client, text="nurse", tokens=True, encoding_format=encoding).json()["results"][0]["token_embeddings"]
        for encoding in ("float", "base64")
    )
    assert np.array_equal(np.array(numbers, dtype=np.float32), from_base64(packed, 16))


def test_what_the_model_scores_with_can_be_made_of_token_embeddings(words: Ranker, words_client: TestClient) -> None:
    """Soft late interaction of unnormalised token embeddings, by hand, is the score of a ranking."""
    query, target = (
        torch.tensor(post(words_client, text=text, tokens=True).json()["results"][0]["token_embeddings"])
        for text in ("nurse", "weld metal")
    )
    dots = query @ target.T
    cosines = dots / query.norm(dim=1)[:, None] / target.norm(dim=1)
    score = ((dots / words.model.interaction.interaction_temperature).softmax(dim=1) * cosines).sum()
    ranking = words_client.post("/rank", json={"query": "nurse", "targets": ["weld metal"]}).json()
    assert ranking["results"][0]["targets"][0]["score"] == pytest.approx(float(score), abs=1e-4)


def test_inputs_are_answered_as_text_embeddings_inference_does(words: Ranker, words_client: TestClient) -> None:
    tokens = expected(words, ["nurse", "weld metal"])
    for normalize in (None, True, False):
        asked = {} if normalize is None else {"normalize": normalize}
        found = post(words_client, inputs=["nurse", "weld metal"], **asked).json()
        means = np.stack([scaled(of_text.mean(axis=0), normalize is not False) for of_text in tokens])
        np.testing.assert_allclose(np.array(found), means, atol=_ROUNDING)
    assert post(words_client, inputs="nurse").json() == [post(words_client, inputs=["nurse"]).json()[0]]
    long = "a " * 30
    assert len(post(words_client, inputs=long, truncate=True).json()) == 1
    refused = post(words_client, inputs=["nurse", long], truncate=False)
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")
    assert refused.json()["error"]["message"].startswith(f"inputs[1] has 32 tokens; {TINY_LIMIT} of them")


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        ({}, 422, "invalid_request", "give either 'text' or 'texts'"),
        ({"text": "a", "texts": ["b"]}, 422, "invalid_request", "give either"),
        ({"texts": []}, 422, "invalid_request", "texts"),
        ({"inputs": []}, 422, "invalid_request", "inputs"),
        ({"inputs": "a", "text": "b"}, 422, "invalid_request", "text"),
        ({"inputs": "a", "truncation_direction": "Left"}, 422, "invalid_request", "truncation_direction"),
        ({"text": "a", "encoding_format": "hex"}, 422, "invalid_request", "encoding_format"),
        ({"text": "a", "pooling": "cls"}, 422, "invalid_request", "pooling"),
        ({"text": " "}, 422, "empty_text", "text is empty"),
        ({"texts": ["a", ""]}, 422, "empty_text", "texts[1] is empty"),
        ({"inputs": ["a", "b\x00"]}, 422, "invalid_text", "inputs[1] holds NUL"),
        ({"inputs": ""}, 422, "empty_text", "inputs is empty"),
        ({"texts": ["a", "b" * 401]}, 413, "too_large", "texts[1] has 401 characters; it may have 400"),
        ({"texts": ["a"] * 6}, 413, "too_large", "6 texts; one request may hold 5"),
        ({"texts": ["a " * 20] * 3, "tokens": True}, 413, "too_large", "the texts have 66 tokens"),
        ({"text": "a", "model": "another"}, 404, "unknown_model", "no model 'another'; this one is called: uwe"),
    ],
)  # fmt: skip
def test_what_cannot_be_embedded_is_refused_by_its_place(
    words_client: TestClient, body: Any, status: int, code: str, message: str
) -> None:
    refused = post(words_client, **body)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (status, code), error
    assert message in error["message"]


@pytest.mark.parametrize("body", [["nurse"], "nurse", None, 7])
def test_a_body_that_is_no_object_is_refused(words_client: TestClient, body: Any) -> None:
    refused = words_client.post("/embed", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_request")


def test_the_model_may_be_named(words: Ranker, words_client: TestClient) -> None:
    for name in ("uwe", words.model.name, words.model.fingerprint, None):
        assert post(words_client, text="nurse", model=name).status_code == 200


def test_a_large_answer_is_the_same_in_parts(words_client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = post(words_client, texts=["nurse", "weld metal"])
    monkeypatch.setattr(rank_routes, "_LARGEST_WHOLE_BYTES", 100)
    parts = post(words_client, texts=["nurse", "weld metal"])
    assert parts.content == whole.content
    assert parts.headers["content-length"] == str(len(whole.content))

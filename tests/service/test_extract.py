"""The contract of `POST /extract`: what is merged, from where, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from service.app import create_app
from service.settings import Settings
from tests.service.conftest import FakeRanker
from uwe_core.encoder import TokenisedTexts
from uwe_core.errors import EmptyTextError
from uwe_core.sentences import sentences

VACANCY = "Your tasks:\n- weld\n- bake bread\n\nYou care. 👍🏽 You weld!\n• weld"


@pytest.fixture
def client(ranker: FakeRanker) -> Iterator[TestClient]:
    settings = Settings(max_query_chars=50, max_vacancy_chars=300, max_sentences=12, max_top_k=30, max_body_bytes=4000)
    with TestClient(create_app(settings, ranker), raise_server_exceptions=False) as client:
        yield client


def post(client: TestClient, **body: Any) -> Any:
    return client.post("/extract", json=body)


def test_skills_are_merged_over_sentences_with_their_places(client: TestClient, ranker: FakeRanker) -> None:
    answer = post(client, text=VACANCY, top_k=3, per_sentence=2).json()
    assert (answer["task"], answer["index"]["space"], answer["sentences"]) == ("skillextract", "sample-skills", 5)
    # The fake ranker finds the target of a text's length first, with 0.5; then its neighbours, with 0.25.
    assert sorted(ranker.ranked) == ["You care.", "bake bread", "weld", "👍🏽 You weld!"]
    assert [(skill["id"], skill["rank"], skill["normalised_score"]) for skill in answer["skills"]] == [
        ("T4", 1, 0.5),
        ("T10", 2, 0.5),
        ("T9", 3, 0.5),
    ]
    weld, bake, care = answer["skills"]
    assert [VACANCY[found["start"] : found["end"]] for found in weld["evidence"]] == ["weld", "weld"]
    assert weld["evidence"][0]["start"] < weld["evidence"][1]["start"]
    assert (weld["text"], weld["metadata"], weld["confidence"]) == ("target 4", {"number": 4, "parity": ["even"]}, None)
    assert [found["text"] for found in bake["evidence"]] == ["bake bread"]
    assert [(found["text"], found["normalised_score"]) for found in care["evidence"]] == [
        ("You care.", 0.5),
        ("bake bread", 0.25),
    ]
    assert care["evidence"][0]["words"] is None


@examples(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.lists(
        st.sampled_from(["weld", "bake bread", "é", "a\u0301b", "You care. ", "\n", ". ", "• ", "x:"]), max_size=9
    ),
    st.integers(1, 9),
    st.integers(1, 4),
    st.none() | st.sampled_from([0.2, 0.3, 0.5]),
)
def test_it_is_what_merging_rankings_by_hand_gives(
    client: TestClient, parts: list[str], top_k: int, per_sentence: int, least: float | None
) -> None:
    text = "".join(parts)
    response = post(client, text=text, top_k=top_k, per_sentence=per_sentence, min_normalised_score=least)
    pieces = [piece for piece in sentences(text, 50) if not piece.heading]
    if not pieces:
        assert (response.status_code, response.json()["error"]["code"]) == (422, "empty_text")
        return
    best: dict[str, float] = {}
    places: dict[str, set[tuple[int, int]]] = {}
    for piece in pieces:
        body = {"query": piece.text, "top_k": per_sentence}
        (result,) = client.post("/rank/skillextract", json=body).json()["results"]
        for target in result["targets"]:
            score, name = target["normalised_score"], target["id"]
            if least is None or score >= least:
                best[name] = max(score, best.get(name, -1))
                places.setdefault(name, set()).add((piece.start, piece.end))
    skills = response.json()["skills"]
    assert [skill["normalised_score"] for skill in skills] == sorted(best.values(), reverse=True)[:top_k]
    for skill in skills:
        assert skill["normalised_score"] == best[skill["id"]] == skill["evidence"][0]["normalised_score"]
        assert {(found["start"], found["end"]) for found in skill["evidence"]} == places[skill["id"]]


def test_words_say_where_a_score_comes_from(client: TestClient) -> None:
    answer = post(client, text="- bake bread.\n- a bun", top_k=1, per_sentence=1, explain=True).json()
    (skill,) = answer["skills"]
    (found,) = skill["evidence"]
    # The fake ranker explains one half by the first character and one half by the last.
    assert found["words"] == [
        {"start": 2, "end": 6, "text": "bake", "contribution": found["score"] / 2},
        {"start": 12, "end": 13, "text": ".", "contribution": found["score"] / 2},
        {"start": 7, "end": 12, "text": "bread", "contribution": 0.0},
    ]


def test_another_task_a_filter_exclusions_and_a_least_confidence(client: TestClient) -> None:
    asked = {"text": "weld", "task": "jobnorm", "per_sentence": 3}
    assert [skill["id"] for skill in post(client, **asked).json()["skills"]] == ["T4", "T3", "T5"]
    assert [skill["id"] for skill in post(client, **asked, min_confidence=0.3).json()["skills"]] == ["T4", "T3"]
    assert post(client, **asked).json()["skills"][0]["confidence"] == 0.75
    asked |= {"exclude": ["T4"], "filter": {"parity": "even"}}
    assert [skill["id"] for skill in post(client, **asked).json()["skills"]] == ["T2", "T6", "T0"]


def test_sentences_in_letters_that_the_model_does_not_know_are_left_out(
    client: TestClient, ranker: FakeRanker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenise = FakeRanker.tokenise

    def knows_no_chinese(queries: list[str], most_tokens: int | None = None) -> TokenisedTexts:
        for position, query in enumerate(queries):
            if "你" in query:
                raise EmptyTextError(position, "holds nothing the tokenizer knows")
        return tokenise(ranker, queries, most_tokens)

    monkeypatch.setattr(ranker, "tokenise", knows_no_chinese)
    answer = post(client, text="weld\n你好\nbake", per_sentence=1).json()
    assert (answer["sentences"], [skill["text"] for skill in answer["skills"]]) == (2, ["target 4"])
    refused = post(client, text="你好")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "empty_text")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_request"),
        ({"text": 7}, 422, "invalid_request"),
        ({"text": "weld", "top_k": 0}, 422, "invalid_request"),
        ({"text": "weld", "offset": 1}, 422, "invalid_request"),
        ({"text": "weld", "min_normalised_score": 1.5}, 422, "invalid_request"),
        ({"text": " \n"}, 422, "empty_text"),
        ({"text": "Tasks:"}, 422, "empty_text"),
        ({"text": "we\x00ld"}, 422, "invalid_text"),
        ({"text": "weld", "top_k": 31}, 422, "invalid_input"),
        ({"text": "weld", "per_sentence": 31}, 422, "invalid_input"),
        ({"text": "weld", "per_sentence": 6, "explain": True}, 422, "invalid_input"),
        ({"text": "weld", "filter": {"colour": "red"}}, 422, "invalid_input"),
        ({"text": "weld", "min_confidence": 0.5}, 422, "invalid_input"),
        ({"text": "weld", "task": "nonsense"}, 404, "unknown_task"),
        ({"text": "a" * 301}, 413, "too_large"),
        ({"text": "weld\n" * 13}, 413, "too_large"),
    ],
)  # fmt: skip
def test_what_cannot_be_extracted_from_is_refused(client: TestClient, body: Any, status: int, code: str) -> None:
    response = client.post("/extract", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_it_is_measured_under_its_task(client: TestClient) -> None:
    post(client, text="weld", task="jobnorm")
    assert 'uwe_request_seconds_count{status="200",task="jobnorm"} 1.0' in client.get("/metrics").text

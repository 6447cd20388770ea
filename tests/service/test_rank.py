"""The contract of `POST /rank/{task}`."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.routes import rank as rank_routes
from tests.service.conftest import TARGETS, FakeRanker


def post(client: TestClient, body: Any, task: str = "job2skill") -> Any:
    return client.post(f"/rank/{task}", json=body)


def target(number: int, rank: int, score: float, normalised_score: float) -> dict[str, Any]:
    return {
        "id": f"T{number}",
        "text": f"target {number}",
        "score": score,
        "normalised_score": normalised_score,
        "rank": rank,
        "metadata": {"number": number, "parity": [["even"], ["odd"]][number % 2]},
        "confidence": None,
        "explanation": None,
        "matched_alias": None,
    }


def test_a_single_query_is_answered_with_ranked_targets(client: TestClient) -> None:
    response = post(client, {"query": "nurse", "top_k": 2})
    assert response.status_code == 200
    assert response.json() == {
        "task": "job2skill",
        "model": {"name": "fake", "fingerprint": "f" * 64},
        "index": {"space": "sample-skills", "fingerprint": "b" * 64},
        "results": [
            {
                "query": "nurse",
                "targets": [target(5, 1, 1.0, 0.5), target(4, 2, 0.5, 0.25)],
                "truncated": None,
                "query_tokens": None,
            }
        ],
    }  # fmt: skip


def test_an_explanation_says_what_met_what_and_its_parts_sum_to_the_score(
    client: TestClient, ranker: FakeRanker
) -> None:
    plain, explained = (
        post(client, {"queries": ["ab", "c"], "top_k": 2, "explain": explain}).json()["results"]
        for explain in (False, True)
    )
    assert explained[0]["query_tokens"] == [{"token": "a", "start": 0, "end": 1}, {"token": "b", "start": 1, "end": 2}]
    for before, after in zip(plain, explained, strict=True):
        for target, with_reason in zip(before["targets"], after["targets"], strict=True):
            why = with_reason.pop("explanation")
            assert target.pop("explanation") is None
            assert target == with_reason
            assert why["pairs"] == [{"query_token": 0, "target_token": 0, "contribution": target["score"] / 2}]
            assert sum(pair["contribution"] for pair in why["pairs"]) + sum(why["rest"]) == target["score"]
            assert "".join(token["token"] for token in why["tokens"]) == target["text"]
    assert ranker.explained == [("ab", ["T2", "T1"]), ("c", ["T1", "T0"])]
    post(client, {"query": "ab", "top_k": 2, "explain": True})
    assert len(ranker.explained) == 2  # the answer is kept


def test_only_so_many_targets_are_explained(client: TestClient, ranker: FakeRanker) -> None:
    assert post(client, {"query": "a", "top_k": 50, "explain": True}).status_code == 200
    refused = post(client, {"query": "a", "top_k": 51, "explain": True})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_input")
    assert "with 'explain' it may be 50" in refused.json()["error"]["message"]
    ranker.tasks = {**ranker.tasks, "job2skill": ranker.tasks["job2skill"].model_copy(update={"default_top_k": 51})}
    assert post(client, {"query": "a", "explain": True}).status_code == 422


def test_confidence_is_there_where_the_task_is_calibrated_and_null_elsewhere(client: TestClient) -> None:
    for task, expected in (("jobnorm", [0.75, 0.375]), ("job2skill", [None, None])):
        (result,) = post(client, {"query": "nurse", "top_k": 2}, task).json()["results"]
        assert [target["confidence"] for target in result["targets"]] == expected


def test_answers_come_in_the_order_of_the_queries_duplicates_too(client: TestClient) -> None:
    queries = ["bbb", "a", "bbb", "cc"]
    results = post(client, {"queries": queries}, "skill2job").json()["results"]
    assert [result["query"] for result in results] == queries
    assert [result["targets"][0]["id"] for result in results] == ["T3", "T1", "T3", "T2"]
    assert {len(result["targets"]) for result in results} == {10}


def test_top_k_above_the_space_returns_all_and_above_the_maximum_is_refused(client: TestClient) -> None:
    assert len(post(client, {"query": "nurse", "top_k": 100}).json()["results"][0]["targets"]) == TARGETS
    refused = post(client, {"query": "nurse", "top_k": 101})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_input")


def test_a_large_answer_is_the_same_in_parts(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"queries": ["nurse", "a long one"]}
    whole = post(client, body)
    monkeypatch.setattr(rank_routes, "_LARGEST_WHOLE_BYTES", 100)
    parts = post(client, body)
    assert parts.content == whole.content
    for header in ("content-length", "content-type"):
        assert parts.headers[header] == whole.headers[header]


def test_a_query_that_was_cut_says_so(client: TestClient) -> None:
    results = post(client, {"queries": ["short", "a long one"]}).json()["results"]
    assert [result["truncated"] for result in results] == [None, {"tokens": 600, "kept_tokens": 512}]


@pytest.mark.parametrize(
    ("narrowed", "ids", "ranks"),
    [
        ({}, ["T5", "T4", "T6"], [1, 2, 3]),
        ({"offset": 2}, ["T6", "T3", "T7"], [3, 4, 5]),
        ({"offset": 29}, ["T29"], [30]),
        ({"offset": 100}, [], []),
        ({"min_score": 0.5}, ["T5", "T4"], [1, 2]),
        ({"min_confidence": 0.7}, ["T5"], [1]),
        ({"min_confidence": 0.0}, ["T5", "T4", "T6"], [1, 2, 3]),
        ({"exclude": ["T5", "T6", "nothing"]}, ["T4", "T3", "T7"], [1, 2, 3]),
        ({"exclude": ["T5"], "offset": 1, "min_score": 0.4}, ["T6"], [2]),
        ({"filter": {"parity": "odd"}}, ["T5", "T3", "T7"], [1, 2, 3]),
        ({"filter": {"number": [29, 7.0, 1, "many"]}}, ["T7", "T1", "T29"], [1, 2, 3]),
        ({"filter": {"number": {"prefix": "2"}, "parity": ["odd", "none"]}}, ["T21", "T23", "T25"], [1, 2, 3]),
        ({"filter": {"number": {"prefix": "1"}}, "exclude": ["T10"], "offset": 1}, ["T11", "T12", "T13"], [2, 3, 4]),
        ({"filter": {"parity": "none"}}, [], []),
        ({"filter": {}}, ["T5", "T4", "T6"], [1, 2, 3]),
    ],
)
def test_a_part_of_a_ranking_is_given(client: TestClient, narrowed: Any, ids: list[str], ranks: list[int]) -> None:
    post(client, {"query": "nurse", "top_k": 3}, "jobnorm")  # an answer that is kept, and is another one
    (result,) = post(client, {"query": "nurse", "top_k": 3, **narrowed}, "jobnorm").json()["results"]
    assert [target["id"] for target in result["targets"]] == ids
    assert [target["rank"] for target in result["targets"]] == ranks


def test_a_least_confidence_needs_a_calibrated_task(client: TestClient) -> None:
    refused = post(client, {"query": "nurse", "min_confidence": 0.5}, "job2skill")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_input")
    assert "not calibrated for the task 'job2skill'" in refused.json()["error"]["message"]


def test_a_filter_on_what_is_not_known_names_what_is(client: TestClient, ranker: FakeRanker) -> None:
    refused = post(client, {"query": "nurse", "filter": {"colour": "red"}})
    assert "no metadata 'colour'; it has number, parity" in refused.json()["error"]["message"]
    assert ranker.ranked == []
    (space, _) = client.get("/spaces").json()["spaces"]
    assert space["columns"] == ["number", "parity"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_request"),
        ({"query": "a", "queries": ["b"]}, 422, "invalid_request"),
        ({"queries": []}, 422, "invalid_request"),
        ({"query": None}, 422, "invalid_request"),
        ({"query": 7}, 422, "invalid_request"),
        ({"queries": "nurse"}, 422, "invalid_request"),
        ({"query": "a", "top_k": 0}, 422, "invalid_request"),
        ({"query": "a", "top_k": -1}, 422, "invalid_request"),
        ({"query": "a", "top_k": 1.5}, 422, "invalid_request"),
        ({"query": "a", "topk": 3}, 422, "invalid_request"),
        ({"query": "a", "explain": "why"}, 422, "invalid_request"),
        ({"query": "a", "offset": -1}, 422, "invalid_request"),
        ({"query": "a", "offset": 10_001}, 422, "invalid_input"),
        ({"query": "a", "min_confidence": 1.5}, 422, "invalid_request"),
        ({"query": "a", "min_score": "inf"}, 422, "invalid_request"),
        ({"query": "a", "exclude": [1]}, 422, "invalid_request"),
        ({"query": "a", "exclude": ["x" * 257]}, 422, "invalid_request"),
        ({"query": "a", "exclude": ["x"] * 257}, 422, "invalid_request"),
        ({"query": "a", "filter": {"colour": "red"}}, 422, "invalid_input"),
        ({"query": "a", "filter": {"number": []}}, 422, "invalid_request"),
        ({"query": "a", "filter": {"number": None}}, 422, "invalid_request"),
        ({"query": "a", "filter": {"number": {"prefix": ""}}}, 422, "invalid_request"),
        ({"query": "a", "filter": {"number": {"suffix": "1"}}}, 422, "invalid_request"),
        ({"query": "a", "filter": {"number": [1] * 33}}, 422, "invalid_request"),
        ({"query": "a", "filter": {str(column): 1 for column in range(9)}}, 422, "invalid_request"),
        ({"query": "a", "filter": {"number": "x" * 129}}, 422, "invalid_request"),
        (["nurse"], 422, "invalid_request"),
        ({"query": ""}, 422, "empty_text"),
        ({"query": " \n"}, 422, "empty_text"),
        ({"queries": ["a", "nul\x00"]}, 422, "invalid_text"),
        ({"queries": ["a"] * 6}, 413, "too_large"),
        ({"query": "a" * 51}, 413, "too_large"),
    ],
)  # fmt: skip
def test_what_cannot_be_ranked_is_refused(client: TestClient, body: Any, status: int, code: str) -> None:
    response = post(client, body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"query": "\xff"}', "invalid_request"),
        (b'{"query": "\\ud800"}', "invalid_text"),
        (b'{"query": "\xed\xa0\x80"}', "invalid_text"),
        (b'{"query": "nu\\u0000rse"}', "invalid_text"),
        (b'{"query": ', "invalid_request"),
        (b"", "invalid_request"),
        (b"\xff\xfe{", "invalid_request"),
        (b'{"query": NaN}', "invalid_request"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_text_or_no_json_are_refused(client: TestClient, content: bytes, code: str) -> None:
    response = client.post("/rank/job2skill", content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (422, code)


def test_a_body_that_is_no_json_by_its_header_is_refused(client: TestClient) -> None:
    response = client.post("/rank/job2skill", data={"query": "nurse"})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_while_it_arrives(client: TestClient, chunked: bool) -> None:
    content = b'{"query": "' + b"x" * 3000 + b'"}'
    body: Any = iter([content[:1500], content[1500:]]) if chunked else content
    response = client.post("/rank/job2skill", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


def test_an_unknown_task_is_named_with_those_that_are_there(client: TestClient) -> None:
    response = post(client, {"query": "a"}, "nonsense")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "unknown_task"
    assert "job2skill" in response.json()["error"]["message"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_any_text_is_ranked_or_refused_and_never_a_fault(client: TestClient, queries: list[str]) -> None:
    # JSON by hand: the client's own encoder refuses lone surrogates
    escaped = ",".join('"' + "".join(f"\\u{unit:04x}" for unit in utf16(query)) + '"' for query in queries)
    response = client.post(
        "/rank/job2skill", content=f'{{"queries": [{escaped}]}}', headers={"Content-Type": "application/json"}
    )
    if all(query.strip() and "\x00" not in query and query.isprintable() for query in queries):
        assert response.status_code == 200
    if response.status_code == 200:
        assert [result["query"] for result in response.json()["results"]] == queries
    else:
        assert response.status_code == 422


def utf16(text: str) -> list[int]:
    raw = text.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(raw[place : place + 2], "big") for place in range(0, len(raw), 2)]

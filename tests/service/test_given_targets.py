"""`POST /rank`: targets that come with the request are ranked as those of a saved space are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.tasks import RankingTask
from uwe_core.token_index import TokenIndex

_WORDS = "a b c nurse welder baker weld metal bake bread care for people , . ( )".split()  # noqa: SIM905
_TEXT = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=6).map(" ".join)


def post(client: TestClient, **body: Any) -> Any:
    return client.post("/rank", json=body)


def saved(words: Ranker, targets: list[str], folder: Path) -> Ranker:
    """A ranker over a saved space with these texts."""
    space = TargetSpace(SpaceInfo(name="saved"), [f"{place}" for place in range(len(targets))], targets)
    TokenIndex.build(words.model.encoder, space).save(folder)
    rankable = RankableSpace(words.model, space, TokenIndex.open(folder))
    task = RankingTask(name="saved", description="Saved.", queries="texts", target_space="saved")
    return Ranker(words.model, {"saved": rankable}, {"saved": task})


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_TEXT, min_size=1, max_size=12), st.lists(_TEXT, min_size=1, max_size=3), st.none() | st.integers(1, 9))
def test_targets_of_a_request_are_ranked_as_those_of_a_saved_space(
    words: Ranker, words_client: TestClient, tmp_path: Path, targets: list[str], queries: list[str], top_k: int | None
) -> None:
    answer = post(words_client, queries=queries, targets=targets, top_k=top_k, explain=True).json()
    ranker = saved(words, targets, tmp_path / "index")
    assert (answer["task"], answer["index"]["space"]) == ("zero-shot", None)
    assert answer["index"]["fingerprint"] == ranker.spaces["saved"].fingerprint
    assert answer["model"]["fingerprint"] == words.model.fingerprint
    for result, query in zip(answer["results"], queries, strict=True):
        everything = ranker.rank("saved", [query], 12).rankings[0]
        scores = {target.id: target.score for target in everything}
        assert result["query"] == query
        assert [target["rank"] for target in result["targets"]] == list(range(1, min(len(targets), top_k or 10) + 1))
        best = [target.score for target in everything][: len(result["targets"])]
        assert [target["score"] for target in result["targets"]] == pytest.approx(best, abs=1e-4)
        for target in result["targets"]:
            assert target["text"] == targets[int(target["id"])]
            assert target["score"] == pytest.approx(scores[target["id"]], abs=1e-4)
            why = target["explanation"]
            parts = sum(pair["contribution"] for pair in why["pairs"]) + sum(why["rest"])
            assert parts == pytest.approx(target["score"], abs=1e-4)


def test_targets_may_have_ids_and_metadata_and_rankings_may_be_narrowed(words_client: TestClient) -> None:
    nurse = {"id": "n", "text": "nurse", "metadata": {"level": 2, "of": ["care"]}}
    targets = ["weld metal", nurse, {"text": "bake bread", "metadata": {"level": 3}}, "care for people"]
    everything = post(words_client, query="nurse", targets=targets).json()["results"][0]["targets"]
    assert {target["id"]: target["metadata"] for target in everything} == {
        "0": {}, "n": {"level": 2, "of": ["care"]}, "2": {"level": 3}, "3": {},
    }  # fmt: skip
    assert everything[0]["id"] == "n"
    narrowed = {"top_k": 2, "offset": 1, "exclude": [everything[1]["id"], "nothing"]}
    part = post(words_client, query="nurse", targets=targets, **narrowed).json()["results"][0]["targets"]
    assert [target["id"] for target in part] == [everything[2]["id"], everything[3]["id"]]
    assert [target["rank"] for target in part] == [2, 3]
    least = everything[1]["score"]
    (first, *rest) = post(words_client, query="nurse", targets=targets, min_score=least - 1e-4).json()["results"][0][
        "targets"
    ]
    assert (first["id"], [target["id"] for target in rest]) == ("n", [everything[1]["id"]])


def test_the_same_texts_with_other_metadata_are_another_answer(words_client: TestClient) -> None:
    for level in (1, 2):
        answer = post(words_client, query="nurse", targets=[{"id": "n", "text": "nurse", "metadata": {"level": level}}])
        assert answer.json()["results"][0]["targets"][0]["metadata"] == {"level": level}


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        ({"targets": ["a"]}, 422, "invalid_request", "give either 'query' or 'queries'"),
        ({"query": "a", "targets": []}, 422, "invalid_request", "targets"),
        ({"query": "a", "targets": "a"}, 422, "invalid_request", "targets"),
        ({"query": "a", "targets": [{"id": "1"}]}, 422, "invalid_request", "text"),
        ({"query": "a", "targets": [{"id": "", "text": "a"}]}, 422, "invalid_request", "id"),
        ({"query": "a", "targets": [{"id": "1", "text": "b"}, "c"]}, 422, "invalid_request", "2 of them have the id"),
        ({"query": "a", "targets": ["a", " "]}, 422, "empty_text", "targets[1] is empty"),
        ({"query": "a", "targets": ["a", {"text": "b\x00"}]}, 422, "invalid_text", "targets[1] holds NUL"),
        ({"query": "", "targets": ["a"]}, 422, "empty_text", "query is empty"),
        ({"queries": ["a", ""], "targets": ["a"]}, 422, "empty_text", "queries[1] is empty"),
        ({"query": "\ud800", "targets": ["a"]}, 422, "invalid_text", "query holds a lone surrogate"),
        ({"queries": ["a", "b" * 401], "targets": ["a"]}, 413, "too_large", "queries[1] has 401 characters"),
        ({"queries": ["a"] * 6, "targets": ["a"]}, 413, "too_large", "6 queries"),
        ({"query": "a", "targets": ["a"] * 13}, 413, "too_large", "13 targets; one request may bring 12"),
        ({"query": "a", "targets": ["a" * 601]}, 413, "too_large", "targets have 601 characters"),
        ({"query": "a", "targets": ["a"], "min_confidence": 0.5}, 422, "invalid_input", "min_confidence"),
        ({"query": "a", "targets": ["a"], "space": "words"}, 422, "invalid_request", "space"),
        ({"query": "a"}, 422, "invalid_request", "space"),
        ({"query": "a", "targets": ["a"], "fingerprint": "0" * 64}, 422, "invalid_input", "fingerprint"),
        ({"query": "a", "targets": ["a"], "model_fingerprint": "0" * 64}, 409, "stale_fingerprint", "the model"),
        ({"query": "a", "targets": ["a"], "top_k": 51, "explain": True}, 422, "invalid_input", "with 'explain'"),
        (
            {"query": "a", "targets": [{"text": "a", "metadata": {"x": 1}}, {"text": "b", "metadata": {"x": "y"}}]},
            422, "invalid_input", "the metadata 'x' are of several types",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_ranked_is_refused_by_its_place(
    words_client: TestClient, body: Any, status: int, code: str, message: str
) -> None:
    content = json.dumps(body).encode("ascii")  # a lone surrogate arrives as it is
    refused = words_client.post("/rank", content=content, headers={"Content-Type": "application/json"})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (status, code), error
    assert message in error["message"]


def test_what_only_a_tokenizer_finds_empty_is_named_too(words_client: TestClient) -> None:
    for body, place in (
        ({"query": "nurse", "targets": ["a", "\u200b"]}, "targets[1]"),
        ({"queries": ["nurse", "\u200b"], "targets": ["a", "b", "c"]}, "queries[1]"),
    ):
        error = post(words_client, **body).json()["error"]
        assert (error["code"], error["message"].split()[0]) == ("empty_text", place)

"""Metrics: all series from the first scrape, counts that move, labels that callers cannot write."""

from __future__ import annotations

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from tests.service.conftest import TARGETS, FakeRanker


def samples(client: TestClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    response = client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def value(client: TestClient, name: str, **labels: str) -> float:
    return samples(client)[name, frozenset(labels.items())]


def test_every_series_is_there_at_the_first_scrape(client: TestClient, ranker: FakeRanker) -> None:
    first = samples(client)
    for task in ranker.tasks:
        for status in ("200", "413", "422", "499", "500", "503"):
            assert first["uwe_request_seconds_count", frozenset({("task", task), ("status", status)})] == 0
        assert first["uwe_request_queries_count", frozenset({("task", task)})] == 0
    for stage in ("wait", "tokenise", "encode", "score", "top_k", "explain", "serialise"):
        assert first["uwe_stage_seconds_count", frozenset({("stage", stage)})] == 0
    for cache in ("answer", "embedding"):
        for result in ("hit", "miss"):
            assert first["uwe_cache_lookups_total", frozenset({("cache", cache), ("result", result)})] == 0
    assert value(client, "uwe_index_targets", space="sample-skills") == TARGETS
    assert value(client, "uwe_ready") == 1
    assert any(name == "uwe_build_info" and ("model", "fake") in labels for name, labels in first)
    way = {"backend": "onnx", "precision": "int8"}
    assert value(client, "uwe_encoder_info", **way, threads="3", processor="avx2 avx512f") == 1
    assert value(client, "uwe_encoder_trial_seconds", **way, texts="16") == 0.03


def test_counts_move_with_requests(client: TestClient) -> None:
    client.post("/rank/job2skill", json={"queries": ["a", "b"]})
    client.post("/rank/job2skill", json={"query": " "})
    assert value(client, "uwe_request_seconds_count", task="job2skill", status="200") == 1
    assert value(client, "uwe_request_seconds_count", task="job2skill", status="422") == 1
    assert value(client, "uwe_request_queries_sum", task="job2skill") == 3
    for stage in ("wait", "tokenise", "encode", "score", "top_k", "serialise"):
        assert value(client, "uwe_stage_seconds_count", stage=stage) == 1
    assert value(client, "uwe_stage_seconds_count", stage="explain") == 0
    assert value(client, "uwe_batch_queries_sum") == 2
    for gauge in ("uwe_waiting_requests", "uwe_queued_queries", "uwe_queued_tokens"):
        assert value(client, gauge) == 0
    assert value(client, "uwe_answer_cache_entries") == 2


def test_a_batch_with_explanations_has_a_stage_more(client: TestClient) -> None:
    client.post("/rank/job2skill", json={"queries": ["a", "b"], "explain": True})
    assert value(client, "uwe_stage_seconds_count", stage="explain") == 1


def test_no_label_comes_from_a_caller(client: TestClient) -> None:
    before = samples(client).keys()
    for task in ("nonsense", "job2skillx", "%22%7D"):
        client.post(f"/rank/{task}", json={"query": "a"})
    assert samples(client).keys() == before
    assert value(client, "uwe_request_seconds_count", task="unknown", status="404") == 3


def test_a_fault_counts_as_500(client: TestClient, ranker: FakeRanker) -> None:
    ranker.fails = RuntimeError("broken")
    client.post("/rank/jobnorm", json={"query": "a"})
    assert value(client, "uwe_request_seconds_count", task="jobnorm", status="500") == 1


def test_buckets_tell_single_milliseconds_apart(client: TestClient) -> None:
    bounds = {float(dict(labels)["le"]) for name, labels in samples(client) if name == "uwe_request_seconds_bucket"}
    assert {place / 1000 for place in range(1, 11)} <= bounds

"""Alive, ready, and what is there; loading that takes long, and loading that fails."""

from __future__ import annotations

import threading

import pytest
from fastapi.testclient import TestClient

from service import app as app_module
from service.app import create_app
from service.settings import Settings
from service.state import ServiceState
from tests.service.conftest import TARGETS, FakeRanker
from uwe_core.errors import ConfigurationError


def test_tasks_and_spaces_are_listed(client: TestClient) -> None:
    tasks = client.get("/tasks").json()["tasks"]
    assert [task["name"] for task in tasks] == list(FakeRanker.tasks)
    assert all(task["example"] for task in tasks)
    spaces = client.get("/spaces").json()["spaces"]
    assert [space["name"] for space in spaces] == ["sample-skills", "sample-jobs"]
    assert spaces[0]["targets"] == TARGETS
    assert (spaces[0]["licence"], spaces[0]["attribution"]) == ("CC0-1.0", "by us")
    assert (spaces[0]["fingerprint"], spaces[0]["index_fingerprint"]) == ("a" * 64, "b" * 64)


def test_readiness_names_model_device_and_what_encodes(client: TestClient) -> None:
    ready = client.get("/readyz").json()
    assert ready["model"] == {"name": "fake", "fingerprint": "f" * 64}
    assert (ready["status"], ready["device"]) == ("ready", "cpu")
    assert (ready["backend"], ready["precision"], ready["threads"]) == ("onnx", "int8", 3)
    assert ready["processor"] == ["avx2", "avx512f"]
    measured = {"milliseconds": {"1x8": 2.0, "16": 30.0}, "speedup": 1.5, "error": 0.25}
    assert ready["trials"] == [{"backend": "onnx", "precision": "int8", **measured}]


def test_while_loading_it_is_alive_and_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    loading, reported = threading.Event(), threading.Event()

    def load(settings: Settings, report: object) -> FakeRanker:
        report("encoding 'x': 3 of 9 targets")  # type: ignore[operator]
        reported.set()
        assert loading.wait(timeout=20)
        return FakeRanker()

    monkeypatch.setattr(app_module, "load_ranker", load)
    with TestClient(create_app(Settings()), raise_server_exceptions=False) as client:
        assert reported.wait(timeout=20)
        assert client.get("/healthz").json() == {"status": "alive"}
        for path in ("/readyz", "/tasks", "/spaces"):
            response = client.get(path)
            assert response.status_code == 503
            assert response.json()["error"]["message"] == "not ready: encoding 'x': 3 of 9 targets"
            assert response.headers["Retry-After"]
        assert client.post("/rank/job2skill", json={"query": "a"}).json()["error"]["code"] == "not_ready"
        assert "uwe_ready 0.0" in client.get("/metrics").text
        loading.set()
        while client.get("/readyz").status_code == 503:
            pass
        assert client.post("/rank/job2skill", json={"query": "a"}).status_code == 200


def test_loading_that_fails_is_told_to_whoever_runs_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    failed, failures = threading.Event(), list[Exception]()

    def load(settings: Settings, report: object) -> FakeRanker:
        raise ConfigurationError("no such taxonomy")

    def told(error: Exception) -> None:
        failures.append(error)
        failed.set()

    monkeypatch.setattr(app_module, "load_ranker", load)
    application = create_app(Settings())
    state: ServiceState = application.state.service
    state.on_failure = told
    with TestClient(application) as client:
        assert failed.wait(timeout=20)
        assert client.get("/readyz").status_code == 503
    assert str(failures[0]) == "no such taxonomy"


def test_while_the_computing_thread_is_dead_it_is_not_ready(client: TestClient, ranker: FakeRanker) -> None:
    ranker.release.clear()
    ranker.fails = SystemExit("a bug")
    answers: list[int] = []
    caller = threading.Thread(
        target=lambda: answers.append(client.post("/rank/job2skill", json={"query": "a"}).status_code)
    )
    caller.start()
    assert ranker.started.wait(timeout=20)
    assert client.get("/readyz").status_code == 200
    hold = ranker.release
    ranker.release = threading.Event()  # holds the probe of the new thread
    hold.set()
    caller.join()
    assert answers == [503]
    for path in ("/readyz", "/tasks"):
        assert client.get(path).json()["error"]["code"] == "not_ready"
    assert "uwe_ready 0.0" in client.get("/metrics").text
    assert client.get("/healthz").status_code == 200
    ranker.release.set()
    while client.get("/readyz").status_code == 503:
        pass
    assert "uwe_ready 1.0" in client.get("/metrics").text
    assert client.post("/rank/job2skill", json={"query": "a"}).status_code == 200

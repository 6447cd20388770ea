"""What browsers are told: nothing may be done with an answer, by nobody from elsewhere, unless it is set."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.service.conftest import FakeRanker

ORIGIN = {"Origin": "https://jobs.example"}
ASK = {**ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key"}


def serve(**settings: object) -> TestClient:
    return TestClient(create_app(Settings(**settings), FakeRanker()), raise_server_exceptions=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/tasks", "/metrics", "/openapi.json", "/rank/job2skill"])
def test_every_answer_is_inert(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_a_fault_is_inert_and_has_its_id_too(client: TestClient, ranker: FakeRanker) -> None:
    ranker.fails = RuntimeError("broken")
    answer = client.post("/rank/job2skill", json={"query": "a"})
    assert answer.status_code == 500
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Request-ID"] == answer.json()["error"]["request_id"]


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_a_page_may_load_what_it_names_and_nothing_else(client: TestClient, path: str) -> None:
    page = client.get(path)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    hosts = set(re.findall(r'(?:src|href)="(https://[^/"]+)', page.text))
    assert hosts
    assert all(host in policy for host in hosts)


def test_pages_can_be_off() -> None:
    client = serve(docs_pages=False)
    assert [client.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [404, 404, 200]


def test_no_other_origin_is_let_in_unless_it_is_named() -> None:
    with serve() as client:
        assert "Access-Control-Allow-Origin" not in client.get("/tasks", headers=ORIGIN).headers
    sha256 = "0" * 64
    named = serve(cors_origins=["https://jobs.example"], api_keys=[{"name": "shop", "sha256": sha256}])
    asked = named.options("/rank/job2skill", headers=ASK)  # without a key, as browsers ask
    assert asked.status_code == 200
    assert asked.headers["Access-Control-Allow-Origin"] == "https://jobs.example"
    assert "x-api-key" in asked.headers["Access-Control-Allow-Headers"].lower()
    assert "Access-Control-Allow-Credentials" not in asked.headers
    refused = named.post("/rank/job2skill", headers=ORIGIN)  # a page can read why
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, "https://jobs.example")
    assert asked.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in named.get("/healthz", headers={"Origin": "https://other"}).headers

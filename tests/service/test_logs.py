"""The log: lines of JSON with fields, ids of requests, and nothing that callers wrote unless somebody wants it."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from service.app import create_app
from service.keys import ApiKey, KeyRing, digest, looks_like_key, new_key
from service.logs import configure_logs
from service.request_id import current_request_id, request_id_of
from service.settings import Settings
from tests.service.conftest import FakeRanker
from tests.service.test_connection import WHOLE, Service, answer, run, serving

SECRET = "nurse with a past"
ACCESS = "service.access_log"


@pytest.fixture
def process_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The log of a process of its own, without what pytest listens with."""
    monkeypatch.setattr(logging.root, "handlers", [])
    level = logging.root.level
    yield
    logging.captureWarnings(False)
    logging.root.setLevel(level)


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def served(ranker: FakeRanker, **settings: Any) -> TestClient:
    return TestClient(create_app(Settings(**settings), ranker), raise_server_exceptions=False)


@pytest.mark.usefixtures("process_log")
def test_a_request_is_one_line_of_fields(ranker: FakeRanker, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    key = "watchword"
    keys = [ApiKey(name="shop", sha256=digest(key.encode()).hex())]
    with served(ranker, api_keys=keys) as client:
        headers = {"X-API-Key": key, "X-Request-ID": "abc"}
        client.post("/rank/job2skill", json={"queries": [SECRET, "welder"]}, headers=headers)
        client.get("/healthz")
    said = capsys.readouterr().err
    assert SECRET not in said
    assert key not in said
    ranked, health = (line for line in map(json.loads, said.splitlines()) if line["logger"] == ACCESS)
    assert datetime.now(UTC) - datetime.fromisoformat(ranked.pop("time")) < timedelta(minutes=1)
    assert 0 < ranked.pop("seconds") < 10
    assert f"key shop, request {ranked['request_id']}" in ranked.pop("message")
    assert ranked == {
        "level": "INFO", "logger": ACCESS, "client": "testclient", "method": "POST", "route": "/rank/{task}",
        "task": "job2skill", "status": 200, "queries": 2, "key": "shop", "request_id": "abc",
    }  # fmt: skip
    assert (health["route"], health["status"], len(health["request_id"])) == ("/healthz", 200, 32)
    assert not {"queries", "key", "task", "texts"} & health.keys()


@pytest.mark.usefixtures("process_log")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_texts_are_logged_where_somebody_wants_them(
    ranker: FakeRanker, log_format: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(log_format, "info")
    forged = "nurse\n2026-01-01 INFO forged: line"
    with served(ranker, log_texts=True) as client:
        client.post("/rank/job2skill", json={"query": forged})
    (line,) = (line for line in capsys.readouterr().err.splitlines() if ACCESS in line)
    if log_format == "json":
        assert json.loads(line)["texts"] == [forged]
    assert r"nurse\n2026" in line


@pytest.mark.usefixtures("process_log")
def test_a_fault_is_a_line_with_its_traceback_in_a_field(
    ranker: FakeRanker, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("json", "warning")
    ranker.fails = ZeroDivisionError("inside")
    with served(ranker) as client:
        answered = client.post("/rank/job2skill", json={"query": "a"})
    (line,) = lines_of(capsys)
    assert (line["level"], line["logger"]) == ("ERROR", "service.errors")
    assert line["request_id"] == answered.json()["error"]["request_id"]
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ZeroDivisionError: inside")


@pytest.mark.usefixtures("process_log")
def test_uvicorn_and_warnings_speak_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")

    async def ask(service: Service) -> None:
        reader, writer = await service.connect()
        writer.write(WHOLE)
        assert (await answer(reader))[0] == 200

    async def test() -> None:
        async with serving() as service:
            await asyncio.gather(*(ask(service) for _ in range(3)))
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(False)
            logging.captureWarnings(True)  # catching them put Python's own way of showing them back
            warnings.warn("old", DeprecationWarning, stacklevel=1)

    run(test)
    lines = lines_of(capsys)
    assert {"uvicorn.error", "service.state", ACCESS, "py.warnings"} <= {line["logger"] for line in lines}
    assert len({line["request_id"] for line in lines if line["logger"] == ACCESS}) == 3
    assert not any("color_message" in line for line in lines)
    assert not any("request_id" in line for line in lines if line["logger"] in ("uvicorn.error", "py.warnings"))


@pytest.mark.usefixtures("process_log")
def test_below_the_level_nothing_is_said(ranker: FakeRanker, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("text", "error")
    with served(ranker) as client:
        client.get("/healthz")
    assert capsys.readouterr().err == ""


def test_threads_that_work_for_a_request_know_its_id() -> None:
    async def test() -> None:
        current_request_id.set("abc")
        assert await asyncio.to_thread(current_request_id.get) == "abc"

    asyncio.run(test())
    assert current_request_id.get() is None


KNOWN = "an-operators-own-secret"
RING = KeyRing([ApiKey(name="shop", sha256=digest(KNOWN.encode()).hex())])


@pytest.mark.parametrize(
    "text",
    [new_key(), new_key()[:30], new_key().upper(), f"id.{new_key()}"[:64], secrets.token_urlsafe(32), KNOWN,
     "another-secret", "a b", "x" * 65, "", "a\n", "<script>", "\u00e9"],
)  # fmt: skip
def test_an_id_that_may_be_a_key_or_break_a_line_is_not_taken(text: str) -> None:
    headers = [(b"x-request-id", text.encode("latin-1")), (b"authorization", b"Bearer another-secret")]
    assert request_id_of(headers, RING) not in (text, KNOWN)


@pytest.mark.parametrize(
    "text", ["abc-123", "a" * 64, "0af7651916cd43dd8448eb211c80319c", "0af76519-16cd-43dd-8448-eb211c80319c", "uwe-1"]
)
def test_a_harmless_id_is_taken(text: str) -> None:
    assert request_id_of([(b"x-request-id", text.encode())], RING) == text


@given(st.text("abcXYZ019_-", max_size=20), st.text("abcXYZ019_-", max_size=20))
def test_a_key_is_found_wherever_it_stands(before: str, after: str) -> None:
    assert looks_like_key(f"{before}{new_key()}{after}".encode())

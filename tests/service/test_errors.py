"""Errors over HTTP: a row for every class, one form for every body, and nothing of the inside."""

from __future__ import annotations

import logging

import pytest
from fastapi.testclient import TestClient

from service.errors import STATUSES
from tests.service.conftest import FakeRanker
from uwe_core import errors


def all_errors() -> list[type[errors.UweError]]:
    found = [errors.UweError]
    for error in found:
        found += error.__subclasses__()
    return found[1:]


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_every_error_has_a_status(error: type[errors.UweError]) -> None:
    status, _ = STATUSES[error]
    branch = next(base for base in error.__mro__ if base.__base__ is errors.UweError)
    expected = {
        "InputError": range(400, 500),
        "ConflictError": (409,),
        "AccessError": (401, 403, 429),
        "UnavailableError": (503,),
        "DiskFullError": (507,),
    }
    assert status in expected.get(branch.__name__, (500,))


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("PUT", "/rank/job2skill", 405, "method_not_allowed"),
        ("POST", "/rank/job2skill", 422, "invalid_request"),
        ("POST", "/rank/nonsense", 422, "invalid_request"),
    ],
)
def test_every_error_has_the_same_form(client: TestClient, method: str, path: str, status: int, code: str) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.json().keys() == {"error"}
    assert response.json()["error"].keys() == {"code", "message", "request_id"}
    assert response.json()["error"]["code"] == code
    assert response.headers["X-Request-ID"] == response.json()["error"]["request_id"]


@pytest.mark.parametrize(
    "error", [RuntimeError("secret path /etc/x"), errors.ChecksumError("secret"), errors.DeviceError("secret")]
)
def test_a_fault_tells_nothing_of_the_inside_and_logs_it(
    client: TestClient, ranker: FakeRanker, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    ranker.fails = error
    with caplog.at_level(logging.ERROR):
        response = client.post("/rank/job2skill", json={"query": "nurse"})
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "secret" not in response.text
    request_id = response.json()["error"]["request_id"]
    assert any(request_id in record.getMessage() and record.exc_info for record in caplog.records)
    assert client.post("/rank/job2skill", json={"query": "nurse"}).status_code == 200


@pytest.mark.parametrize(
    ("error", "seconds"), [(errors.OverloadedError("full"), "1"), (errors.NotReadyError("soon"), "5")]
)
def test_what_is_unavailable_says_when_to_come_again(
    client: TestClient, ranker: FakeRanker, error: errors.UnavailableError, seconds: str
) -> None:
    ranker.fails = error
    response = client.post("/rank/job2skill", json={"query": "nurse"})
    assert (response.status_code, response.headers["Retry-After"]) == (503, seconds)


def test_a_callers_own_request_id_is_kept_where_it_is_harmless(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "abc-123"}).headers["X-Request-ID"] == "abc-123"
    for bad in ("a b", "x" * 65, "<script>", "é".encode("latin-1").decode("latin-1")):
        response = client.get("/nowhere", headers={b"X-Request-ID": bad.encode("latin-1")})
        assert response.headers["X-Request-ID"] != bad

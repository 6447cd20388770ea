"""What may pass is tried again, within bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import client as uwe
from service.client.retries import retry_after_seconds
from tests.service.client.servers import failing, ranked, refused


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_names_a_time_is_given_it(status: int) -> None:
    client, waits, requests = failing(refused(status, **{"Retry-After": "3"}), ranked("nurse"))
    assert client.rank("t", "nurse").results[0].query == "nurse"
    assert 3 < waits[0] <= 3.25
    assert len({request.headers["X-Request-ID"] for request in requests}) == 1


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("server disconnected"),
        refused(502),
        httpx.Response(504, text="<html>a gateway's page</html>"),
    ],
)
def test_what_may_pass_is_tried_again_more_and_more_slowly(failure: Any) -> None:
    client, waits, _ = failing(failure, failure, failure, ranked("nurse"))
    assert client.rank("t", "nurse").results[0].query == "nurse"
    for wait, longest in zip(waits, (0.25, 0.5, 1.0), strict=True):
        assert longest / 2 <= wait <= longest


@pytest.mark.parametrize(
    ("failure", "error", "code"),
    [
        (httpx.ReadTimeout("slow"), uwe.TimedOutError, "timeout"),
        (httpx.UnsupportedProtocol("ftp"), uwe.NoAnswerError, "no_answer"),
        (refused(401), uwe.UnauthorisedError, "a_code"),
        (refused(403), uwe.UnauthorisedError, "a_code"),
        (refused(409), uwe.ConflictError, "a_code"),
        (httpx.Response(500, text="oops"), uwe.ServerFaultError, "internal_server_error"),
        (httpx.Response(307, headers={"Location": "http://elsewhere"}), uwe.InvalidResponseError, "temporary_redirect"),
        (httpx.Response(200, text="hello"), uwe.InvalidResponseError, "invalid_response"),
        (httpx.Response(200, json=["hello"]), uwe.InvalidResponseError, "invalid_response"),
        (ranked("nurse", "welder"), uwe.InvalidResponseError, "invalid_response"),
    ],
)
def test_what_will_not_pass_is_told_at_once(failure: Any, error: Any, code: str) -> None:
    client, waits, requests = failing(failure)
    with pytest.raises(error) as raised:
        client.rank("t", "nurse")
    assert type(raised.value) is error
    assert (raised.value.code, waits, len(requests)) == (code, [], 1)
    assert raised.value.request_id in (requests[0].headers["X-Request-ID"], "r1")


def test_attempts_have_an_end_and_the_last_error_is_told() -> None:
    client, waits, requests = failing(*[refused(503, "overloaded", **{"Retry-After": "1"})] * 3, retries=uwe.Retries(3))
    with pytest.raises(uwe.UnavailableError, match="because") as raised:
        client.rank("t", "nurse")
    assert (raised.value.code, raised.value.retry_after, raised.value.request_id) == ("overloaded", 1, "r1")
    assert (len(waits), len(requests)) == (2, 3)


def test_a_server_that_asks_for_too_long_is_not_waited_for() -> None:
    client, waits, _ = failing(refused(429, **{"Retry-After": "3600"}))
    with pytest.raises(uwe.UnavailableError):
        client.rank("t", "nurse")
    assert waits == []


def test_readiness_is_asked_once() -> None:
    client, waits, _ = failing(refused(503, "not_ready"))
    with pytest.raises(uwe.UnavailableError, match="because"):
        client.ready()
    assert waits == []


@given(st.integers(1, 2000), st.none() | st.floats(0, 100), st.floats(0, 1, exclude_max=True))
def test_waits_keep_their_bounds(attempt: int, retry_after: float | None, luck: float) -> None:
    retries = uwe.Retries(attempts=1000, first_wait=0.5, longest_wait=20)
    wait = retries.wait(attempt, retry_after, luck)
    if attempt >= 1000 or (retry_after or 0) > 20:
        assert wait is None
    else:
        assert wait is not None
        assert (retry_after or 0) <= wait <= 20
        assert wait >= min(0.25, 20 / 2)


def test_bounds_that_cannot_be_are_refused() -> None:
    for wrong in ({"attempts": 0}, {"first_wait": -1}, {"longest_wait": -1}):
        with pytest.raises(ValueError, match="retries need"):
            uwe.Retries(**wrong)


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
    later = now + timedelta(seconds=90)
    cases = {
        "7": 7.0,
        format_datetime(later, usegmt=True): 90.0,
        format_datetime(later.replace(tzinfo=None)): 90.0,
        format_datetime(now - timedelta(days=1)): 0.0,
        "9" * 400: float("inf"),
        "soon": None,
        "-1": None,
        "": None,
        None: None,
    }
    assert {value: retry_after_seconds(value, now) for value in cases} == cases

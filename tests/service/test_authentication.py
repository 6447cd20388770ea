"""Who gets in, with what, how often; and that no key is ever told."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from service.authentication import Callers
from service.settings import Settings
from tests.service.conftest import FakeRanker
from uwe_core.errors import RateLimitError, UweError

SHOP, WATCH, SLOW = (secrets.token_urlsafe(32) for _ in range(3))
QUERY = {"query": "nurse"}
RANK = "/rank/job2skill"
OPEN = ("/healthz", "/readyz", "/openapi.json", "/docs", "/redoc")


def entry(name: str, key: str, *scopes: str, rate: float | None = None) -> dict[str, Any]:
    sha256 = hashlib.sha256(key.encode()).hexdigest()
    return {"name": name, "sha256": sha256, "scopes": scopes, "rate_per_minute": rate}


KEYS = [entry("shop", SHOP, "rank"), entry("watch", WATCH, "admin"), entry("slow", SLOW, "rank", rate=2)]

ALL_KINDS = Settings(api_keys=KEYS, allow_anonymous=True, anonymous_rate_per_minute=3)


@contextmanager
def serving(**settings: Any) -> Iterator[TestClient]:
    application = create_app(Settings(**{"api_keys": KEYS, **settings}), FakeRanker())
    with TestClient(application, raise_server_exceptions=False) as client:
        yield client


def by_header(key: str) -> dict[str, str]:
    return {"X-API-Key": key}


def by_bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def key_counts(client: TestClient) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.labels["key"], sample.labels["status"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "uwe_key_requests_total"
    }


@pytest.mark.parametrize("header", [by_header, by_bearer])
def test_a_key_opens_what_its_scope_names(header: Callable[[str], dict[str, str]]) -> None:
    with serving() as client:
        assert client.post("/rank/job2skill", json=QUERY, headers=header(SHOP)).status_code == 200
        assert client.get("/tasks", headers=header(SHOP)).status_code == 200
        refused = client.post("/rank/job2skill", json=QUERY, headers=header(WATCH))
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "headers",
    [
        {}, by_header("wrong"), by_bearer("wrong"), by_bearer(""), by_header(SHOP[:-1]), by_header(SHOP.swapcase()),
        by_header(SHOP) | by_bearer(WATCH), {"Authorization": f"Basic {SHOP}"}, {"Authorization": SHOP},
    ],
)  # fmt: skip
def test_without_a_known_key_everything_is_closed(headers: dict[str, str]) -> None:
    with serving() as client:
        for path in ("/rank/job2skill", "/rank/nonsense", "/tasks", "/nowhere", "/healthz/", "/docs/x"):
            refused = client.post(path, json=QUERY, headers=headers)
            assert refused.status_code == 401
            assert refused.headers["WWW-Authenticate"] == "Bearer"
            assert refused.json()["error"].keys() == {"code", "message", "request_id"}
            assert refused.json()["error"]["code"] == "unauthorized"
            assert refused.headers["X-Request-ID"] == refused.json()["error"]["request_id"]


def test_a_refused_body_is_not_read() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("nobody may read")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/rank/job2skill", "headers": [], "query_string": b""}
    asyncio.run(create_app(Settings(api_keys=KEYS), FakeRanker())(scope, receive, send))
    assert sent[0]["status"] == 401


@pytest.mark.parametrize("path", OPEN)
def test_what_machines_and_readers_need_is_open(path: str) -> None:
    with serving() as client:
        assert client.get(path).status_code == 200


def test_metrics_are_open_until_they_need_an_admin() -> None:
    with serving() as client:
        assert client.get("/metrics").status_code == 200
    with serving(metrics_need_admin=True) as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers=by_header(SHOP)).status_code == 403
        assert client.get("/metrics", headers=by_header(WATCH)).status_code == 200


def test_every_route_is_closed_or_known_to_be_open() -> None:
    with serving() as client:
        for path in client.get("/openapi.json").json()["paths"]:
            expected = {200} if path in {*OPEN, "/metrics"} else {401}
            assert client.get(path.replace("{task}", "job2skill")).status_code in expected, path


def test_the_contract_names_the_same_open_routes_as_the_door() -> None:
    with serving() as client:
        contract = client.get("/openapi.json").json()
        for path, operations in contract["paths"].items():
            for method, operation in operations.items():
                answer = client.request(method, path.replace("{task}", "job2skill"), json=QUERY)
                assert ("security" in operation) == (answer.status_code == 401), path
        assert contract["components"]["securitySchemes"].keys() == {"bearer", "header"}


def test_anonymous_callers_may_rank_where_that_is_allowed_and_a_wrong_key_still_fails() -> None:
    with serving(allow_anonymous=True) as client:
        assert client.post("/rank/job2skill", json=QUERY).status_code == 200
        assert client.post("/rank/job2skill", json=QUERY, headers=by_header("wrong")).status_code == 401


def test_without_keys_nobody_looks_at_headers() -> None:
    with serving(api_keys=[]) as client:
        assert client.post("/rank/job2skill", json=QUERY, headers=by_bearer("of a gateway")).status_code == 200


def test_a_caller_over_its_rate_waits_and_others_do_not() -> None:
    with serving() as client:
        statuses = [client.post("/rank/job2skill", json=QUERY, headers=by_header(SLOW)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        refused = client.get("/tasks", headers=by_header(SLOW))
        assert refused.json()["error"]["code"] == "rate_limited"
        assert 1 <= int(refused.headers["Retry-After"]) <= 30
        assert client.get("/tasks", headers=by_header(SHOP)).status_code == 200
        assert client.get("/healthz").status_code == 200
        assert key_counts(client)["slow", "429"] == 2


def test_anonymous_callers_share_one_rate() -> None:
    with serving(api_keys=[], anonymous_rate_per_minute=2) as client:
        assert [client.get("/tasks").status_code for _ in range(4)] == [200, 200, 429, 429]


@given(st.lists(st.tuples(st.sampled_from(["shop", "slow", "anonymous"]), st.floats(0, 40)), max_size=40))
def test_no_caller_spends_what_is_anothers(requests: list[tuple[str, float]]) -> None:
    """Each caller passes exactly as it would alone."""
    presented = {"shop": {SHOP.encode()}, "slow": {SLOW.encode()}, "anonymous": set[bytes]()}

    def passed(names: set[str]) -> list[bool]:
        now = 0.0
        callers = Callers(ALL_KINDS, lambda: now)
        outcomes = []
        for name, pause in requests:
            now += pause
            if name not in names:
                continue
            bucket = callers.identify(presented[name]).bucket
            try:
                if bucket is not None:
                    bucket.take()
                outcomes.append(True)
            except RateLimitError:
                outcomes.append(False)
        return outcomes

    together = iter(passed(set(presented)))
    alone = {name: iter(passed({name})) for name in presented}
    assert all(next(together) == next(alone[name]) for name, _ in requests)


def test_metrics_count_by_configured_names_alone() -> None:
    with serving() as client:
        before = key_counts(client)
        assert {name for name, _ in before} == {"shop", "watch", "slow", "anonymous", "unknown"}
        client.post("/rank/job2skill", json=QUERY, headers=by_header(SHOP))
        client.post("/rank/nonsense", json=QUERY, headers=by_header(SHOP))
        for number in range(5):
            client.get("/tasks", headers=by_header(f"wrong{number}"))
        after = key_counts(client)
        assert after.keys() == before.keys()
        assert (after["shop", "200"], after["shop", "404"], after["unknown", "401"]) == (1, 1, 5)


PLACES = ["X-API-Key", "X-Request-ID", "Bearer", "Basic", "query", "path", "task"]
BODIES: list[dict[str, Any]] = [QUERY, {"query": " "}, {"queries": 3}, {"query": "broken"}]


@pytest.mark.parametrize("place", PLACES)
def test_no_key_is_ever_told(place: str, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever a caller puts a key, neither logs nor answers nor metrics repeat it."""
    unknown = secrets.token_urlsafe(32)
    answers = ""
    with caplog.at_level(logging.DEBUG), serving(allow_anonymous=True) as client:
        engine: FakeRanker = client.app.state.service.loaded.engine  # type: ignore[attr-defined]
        engine.poison = "broken"
        for key, body in product((SHOP, WATCH, unknown), BODIES):
            headers = {place: key} if place.startswith("X-") else {"Authorization": f"{place} {key}"}
            path = {"query": f"/tasks?key={key}", "path": f"/{key}", "task": f"/rank/{key}"}.get(place, RANK)
            answer = client.post(path, json=body, headers=headers)
            answers += answer.text + str(answer.headers)
        metrics = client.get("/metrics").text
    # All but the test's own client, which logs the URL that it asks for.
    told = [record for record in caplog.records if not record.name.startswith("httpx")]
    assert sum(record.name == "service.access_log" for record in told) == 3 * len(BODIES) + 1
    log = "\n".join(map(logging.Formatter().format, told))
    for key in (SHOP, WATCH, unknown):
        assert key not in log + metrics
        # An unknown task is repeated to the one who named it, and to nobody else.
        assert (key in answers) == (place == "task")


def test_the_log_names_the_key_the_route_and_the_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "service.access_log"), serving() as client:
        client.post("/rank/job2skill", json=QUERY, headers=by_header(SHOP) | {"X-Request-ID": "abc"})
        client.get("/tasks?a=b", headers=by_header(SHOP))
        client.get("/tasks", headers=by_header("wrong"))
        client.get("/healthz")
    first, second, third, fourth = [record.getMessage() for record in caplog.records if "request" in record.msg]
    assert first.startswith("testclient POST /rank/job2skill: 200 in ")
    assert first.endswith("key shop, request abc")
    assert "GET /tasks: 200" in second
    assert "GET unknown: 401" in third
    assert "key unknown" in third
    assert "GET /healthz: 200" in fourth
    assert "key -" in fourth


def test_errors_of_access_are_errors_of_ours() -> None:
    with pytest.raises(UweError, match="a key is needed"):
        Callers(Settings(api_keys=KEYS)).identify(set())

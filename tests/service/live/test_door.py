"""Who may change spaces."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.keys import digest
from service.settings import Settings
from tests.service.conftest import FakeRanker

_CHANGES = [("PUT", "/spaces/courses"), ("PATCH", "/spaces/courses"), ("DELETE", "/spaces/courses"),
            ("GET", "/jobs"), ("GET", "/jobs/x"), ("POST", "/spaces/courses")]  # fmt: skip
_HERE = "http://127.0.0.1:8000"


def statuses(address: str, headers: dict[str, str] | None = None, **settings: Any) -> set[int]:
    """What changes without a usable body are answered."""
    with TestClient(create_app(Settings(**settings), FakeRanker()), address) as client:
        return {client.request(method, path, headers=headers).status_code for method, path in _CHANGES}


def test_changes_need_a_key_with_the_scope_admin() -> None:
    keys = [{"name": scope, "sha256": digest(scope.encode()).hex(), "scopes": [scope]} for scope in ("rank", "admin")]
    assert statuses(_HERE, api_keys=keys) == {401}
    assert statuses(_HERE, {"X-API-Key": "rank"}, api_keys=keys) == {403}
    assert not statuses(_HERE, {"X-API-Key": "admin"}, api_keys=keys) & {401, 403}
    assert statuses(_HERE, api_keys=keys, allow_anonymous=True) == {403}
    with TestClient(create_app(Settings.model_validate({"api_keys": keys}), FakeRanker()), _HERE) as client:
        seen = [client.get("/spaces", headers={"X-API-Key": scope}).status_code for scope in ("rank", "admin")]
    assert seen == [200, 403]


@pytest.mark.parametrize("address", [_HERE, "http://localhost:8000", "http://[::1]:8000", "http://127.8.0.1"])
def test_without_keys_this_machine_may_change_spaces(address: str) -> None:
    assert not statuses(address) & {401, 403}


@pytest.mark.parametrize("address", ["http://evil.example", "http://127.0.0.1.evil.example:8000", "http://10.0.0.1"])
def test_a_page_that_calls_this_machine_by_another_name_may_not(address: str) -> None:
    assert statuses(address) == {403}
    with TestClient(create_app(Settings(), FakeRanker()), address) as client:
        assert client.get("/spaces").status_code == 200


@pytest.mark.parametrize("settings", [{"allow_anonymous": True}, {"allow_anonymous": True, "host": "0.0.0.0"}])
def test_whoever_may_rank_without_a_key_may_not_change_spaces(settings: Any) -> None:
    assert statuses(_HERE, **settings) == {403}

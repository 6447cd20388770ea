"""Keys: random, kept as digests, found wherever they stand among others, made by the command line."""

from __future__ import annotations

import hashlib
import hmac
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from service.cli import app
from service.keys import ApiKey, KeyRing, digest, new_key, presented_keys
from service.settings import Settings
from uwe_core.errors import UnknownKeyError

_SHA = "0" * 64


def configured(name: str, key: bytes) -> ApiKey:
    return ApiKey(name=name, sha256=hashlib.sha256(key).hexdigest())


@given(st.lists(st.binary(max_size=40), unique=True, max_size=6), st.binary(max_size=40))
def test_exactly_the_configured_keys_are_found(keys: list[bytes], other: bytes) -> None:
    ring = KeyRing([configured(f"k{number}", key) for number, key in enumerate(keys)])
    for number, key in enumerate(keys):
        assert ring.find(key).name == f"k{number}"
    if other not in keys:
        with pytest.raises(UnknownKeyError):
            ring.find(other)


def test_every_digest_is_compared_wherever_the_right_one_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def counting(known: bytes, presented: bytes) -> bool:
        compared.append(known)
        return compare(known, presented)

    keys = [b"one", b"two", b"three"]
    ring = KeyRing([configured(key.decode(), key) for key in keys])
    monkeypatch.setattr(hmac, "compare_digest", counting)
    for key in keys:
        compared.clear()
        ring.find(key)
        assert compared == [digest(each) for each in keys]


def test_keys_are_long_and_never_twice_the_same() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"uwe_[A-Za-z0-9_-]{43}", key) for key in keys)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], set()),
        ([(b"authorization", b"Bearer abc")], {b"abc"}),
        ([(b"authorization", b"bEARER  abc ")], {b"abc"}),
        ([(b"authorization", b"Basic abc")], set()),
        ([(b"x-api-key", b" abc ")], {b"abc"}),
        ([(b"x-api-key", b"abc"), (b"authorization", b"Bearer abc")], {b"abc"}),
        ([(b"x-api-key", b"abc"), (b"x-api-key", b"def")], {b"abc", b"def"}),
        ([(b"x-api-key", b"")], {b""}),
    ],
)
def test_a_key_comes_in_either_header(headers: list[tuple[bytes, bytes]], expected: set[bytes]) -> None:
    assert presented_keys(headers) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "two words"}, {"name": "anonymous"}, {"name": "unknown"}, {"name": ""}, {"sha256": "uwe_abc"},
        {"sha256": "A" * 64}, {"scopes": []}, {"scopes": ["root"]}, {"rate_per_minute": 0}, {"key": "uwe_abc"},
    ],
)  # fmt: skip
def test_what_cannot_be_an_entry_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ApiKey.model_validate({"name": "shop", "sha256": _SHA} | wrong)


def test_a_key_is_made_and_its_entry_is_what_the_settings_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = CliRunner().invoke(
        app, ["new-key", "shop", "--scope", "rank", "--scope", "admin", "--rate-per-minute", "90"]
    )
    assert made.exit_code == 0, made.output
    key = made.stderr.split()[0]
    assert key not in made.stdout
    file = tmp_path / "settings.toml"
    file.write_text(made.stdout)
    assert tomllib.loads(made.stdout)["api_keys"][0]["name"] == "shop"
    monkeypatch.setenv("UWE_SETTINGS", str(file))
    (entry,) = Settings.load().api_keys
    assert (entry.scopes, entry.rate_per_minute) == (frozenset({"rank", "admin"}), 90)
    assert KeyRing([entry]).find(key.encode()) == entry


def test_a_name_that_cannot_be_is_refused_before_a_key_is_shown() -> None:
    refused = CliRunner().invoke(app, ["new-key", "two words"])
    assert refused.exit_code == 1
    assert "uwe_" not in refused.output

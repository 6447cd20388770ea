"""One process serves one device: there is no way to ask `uwe-serve` for more."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from service.cli import Server, app
from service.settings import Settings


def test_workers_are_refused_by_name() -> None:
    refused = CliRunner().invoke(app, ["--workers", "2"])
    assert refused.exit_code == 2
    assert "No such option: --workers" in refused.output


def test_platforms_that_ask_for_workers_are_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    assert Server(Settings()).config.workers == 1

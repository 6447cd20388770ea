"""What tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import save_tiny_model


@pytest.fixture
def commands_of_their_own(one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command sets as many threads as there are processors, and reads where the evaluation data are."""
    monkeypatch.setattr("training.cli.cpu_quota", lambda: 1)
    monkeypatch.delenv("UWE_DATA_DIR", raising=False)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model to be trained."""
    return save_tiny_model("bert", tmp_path_factory.mktemp("model") / "base")

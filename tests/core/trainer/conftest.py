"""What tests of the trainer share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import save_tiny_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model("bert", tmp_path_factory.mktemp("model") / "base")

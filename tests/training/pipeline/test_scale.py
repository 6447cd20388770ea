"""Memory does not grow with the number of vacancies as their number does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = 100_000


def figures(count: int, folder: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.pipeline.scale", str(count), folder],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.heavy
def test_a_hundred_thousand_vacancies_fit_in_two_gigabytes(tmp_path: Path) -> None:
    few, many = figures(COUNT // 10, tmp_path / "few"), figures(COUNT, tmp_path / "many")
    assert many["peak_mb_after_enrich"] < 2_000
    assert many["peak_mb_after_documents"] - few["peak_mb_after_documents"] < 100  # streamed

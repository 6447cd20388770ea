"""The commands against the real service on the sample, each as short as it can be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.test_cli import Uwe, uwe  # noqa: F401 - a fixture

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def test_latency_has_a_row_for_everything(uwe: Uwe, home: Path, tmp_path: Path) -> None:  # noqa: F811
    variants = ("--service", "one:threads=1,precision=float32")
    done = uwe(home, "benchmark", "latency", "--rounds", "2", "--queries", "3", *variants, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads((tmp_path / "latency.json").read_text())["figures"]}
    assert list(rows) == [
        "embedded: one", "embedded: Ranker.rank, index in int8", "embedded: one, asked again", "GET /healthz",
        "a request checked in full, then refused",
    ]  # fmt: skip
    assert all(row["milliseconds"]["count"] == 6 for row in rows.values())
    assert "threads=1" in rows["embedded: one"]["note"]
    direct = rows["embedded: Ranker.rank, index in int8"]["note"]
    assert direct.startswith("a function call, ")
    assert direct.endswith(" float32, 1 threads")
    assert (tmp_path / "latency-spread.png").is_file()


def test_a_service_that_holds_little_turns_the_rest_away_cleanly(uwe: Uwe, home: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ("--seconds", "1", "--first-rate", "64", "--rounds", "1", "--out", tmp_path)
    done = uwe(home, "benchmark", "load", "--service", "small:max_waiting=2", *options)
    assert done.returncode == 0, done.stderr
    (figures,) = json.loads((tmp_path / "load.json").read_text())["figures"]["servers"]
    assert figures["broke"]
    beyond = next(row for row in figures["rows"] if "broke" in row["name"])
    assert beyond["statuses"]["503"] > 0
    assert beyond["failures"] == 0
    assert "busy cores" in figures["rows"][-1]["name"]


def test_the_obvious_service_is_loaded_beside_ours(uwe: Uwe, home: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ("--beside", "obvious", "--seconds", "1", "--rounds", "1", "--no-busy", "--out", tmp_path)
    done = uwe(home, "benchmark", "load", *options)
    assert done.returncode == 0, done.stderr
    service, *others = json.loads((tmp_path / "load.json").read_text())["figures"]["servers"]
    assert service["name"] == "service"
    assert others
    assert all(other["name"].startswith("obvious") and other["shared_best_targets"] > 0.9 for other in others)


def test_the_obvious_service_gives_the_same_answers(uwe: Uwe, home: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ("--peer", "obvious", "--rounds", "2", "--queries", "5", "--out", tmp_path)
    done = uwe(home, "benchmark", "compare", *options)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "compare.json").read_text())["figures"]["rows"]
    assert [row["same_top"] for row in rows if row["name"] != "service"] == [1, 1, 1]
    assert any(row["name"].startswith("obvious") for row in rows)


def test_scale_measures_each_size_in_a_process_of_its_own(uwe: Uwe, home: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ("--targets", "1000", "--targets", "1000000000", "--queries", "1", "--queries", "2", "--out", tmp_path)
    done = uwe(home, "benchmark", "scale", *options)
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / "scale.json").read_text())["figures"]
    assert [bool(cell["seconds"]) for cell in cells] == [True, True, False, False]
    assert "GB may be used" in cells[-1]["skipped"]

"""The commands of `uwe`, run as a shell runs them, errors in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.test_esco import SKILLS, write


def uwe(home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UWE_")}
    return subprocess.run(
        [Path(sys.executable).with_name("uwe"), *arguments],
        env={**environment, "UWE_HOME": str(home), "COLUMNS": "200"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def test_import_list_precompute_and_reuse(home: Path, tmp_path: Path) -> None:
    imported = uwe(home, "data", "import-esco", write(tmp_path / "esco-1.2.0-en"), "--name", "tiny")
    assert "2 skills, 1 occupations, 1 relations" in imported.stdout
    listed = uwe(home, "spaces").stdout.splitlines()
    assert [line.split("\t")[0] for line in listed] == ["sample-jobs", "sample-skills", "tiny-jobs", "tiny-skills"]
    first = uwe(home, "precompute", "tiny-skills", "sample-jobs")
    assert first.stdout.splitlines()[0].startswith("tiny-skills: built, 2 targets")
    assert "160/160" in first.stderr  # the bar
    again = uwe(home, "precompute", "sample-jobs", "tiny-skills", "tiny-jobs")
    assert [line.split(",")[0] for line in again.stdout.splitlines()] == [
        "sample-jobs: reused", "tiny-skills: reused", "tiny-jobs: built",
    ]  # fmt: skip


def test_errors_are_one_line_without_a_traceback(home: Path, tmp_path: Path) -> None:
    for arguments, message in [
        (("precompute", "sample-jobs", "nonsense"), "error: no target space 'nonsense'"),
        (("precompute", "--device", "cuda:99"), "error: device 'cuda:99' was asked for"),
        (("data", "import-esco", str(tmp_path / "nowhere")), "is neither a folder nor a zip file"),
        (("evaluate", "--model", "nonsense"), "error: no model 'nonsense'"),
        (("evaluate", "--task", "nonsense"), "error: no data set 'nonsense'"),
    ]:
        done = uwe(home, *arguments)
        assert done.returncode == 1, arguments
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_failed_import_writes_nothing(tmp_path: Path) -> None:
    bad = write(tmp_path / "esco", {"skills_en.csv": SKILLS.replace("uri:s2", "uri:s1")})
    done = uwe(tmp_path / "home", "data", "import-esco", bad)
    assert done.returncode == 1
    assert not (tmp_path / "home").exists()


def test_evaluating_the_sample_prints_the_table_and_writes_the_report(home: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", "--model", "embedded", "--model", "random", "--task", "jobnorm", "--out", tmp_path / "out")
    done = uwe(home, *arguments, "--errors", "1")
    assert done.returncode == 0, done.stderr
    assert "embedded" in done.stdout
    assert "right:" in done.stdout
    assert (tmp_path / "out/report.md").is_file()
    again = uwe(home, *arguments)
    assert "embedded on jobnorm" not in again.stderr  # finished pairs draw no bar


def test_a_pair_of_spaces_of_ones_own_is_judged(home: Path, tmp_path: Path) -> None:
    for name, content in {
        "people": "id,text\n1,person who bakes bread\n2,person who welds\n",
        "crafts": "id,text\na,welding\nb,baking\n",
        "edges": "query_id,target_id\n1,b\n2,a\n",
    }.items():
        (tmp_path / f"{name}.csv").write_text(content)
    files = [tmp_path / f"{name}.csv" for name in ("people", "crafts", "edges")]
    done = uwe(home, "evaluate", "--space-pair", *files)
    assert "100.0 / 100.0" in done.stdout, done.stderr


def test_cost_is_measured_in_processes_of_their_own(home: Path, tmp_path: Path) -> None:
    done = uwe(home, "benchmark", "paper", "--model", "random", "--task", "jobnorm", "--out", tmp_path / "cost.json")
    assert done.returncode == 0, done.stderr
    assert "paper, A100: UWE" in done.stdout
    assert '"latency_ms"' in (tmp_path / "cost.json").read_text()

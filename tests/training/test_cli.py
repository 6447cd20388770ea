"""The commands of `uwe`: what they print, what they write, and errors in one line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.training.test_esco import FILES, SKILLS, write
from training.cli import main


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Uwe: TypeAlias = Callable[..., Done]


def environment(home: Path) -> dict[str, str]:
    ours = {"UWE_HOME": str(home), "COLUMNS": "200"}
    return {name: value for name, value in os.environ.items() if not name.startswith("UWE_")} | ours


@pytest.fixture
def uwe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Uwe:
    """Run `uwe` in this process: what a shell would see, without loading torch anew for each command."""

    def run(home: Path, *arguments: str | Path) -> Done:
        for name in set(os.environ) - set(environment(home)):
            monkeypatch.delenv(name)
        for name, value in environment(home).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["uwe", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, *capsys.readouterr())

    return run


def installed_uwe(home: Path, *arguments: str | Path) -> Done:
    """Run the installed script."""
    done = subprocess.run(
        [Path(sys.executable).with_name("uwe"), *arguments],
        env=environment(home), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def test_import_list_precompute_and_reuse(uwe: Uwe, home: Path, tmp_path: Path) -> None:
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


def test_precompute_encodes_aliases_where_they_are_asked_for(uwe: Uwe, tmp_path: Path) -> None:
    uwe(tmp_path, "data", "import-esco", write(tmp_path / "esco-1.2.0-en"), "--name", "tiny")
    done = uwe(tmp_path, "precompute", "tiny-skills", "--aliases", "alternative_labels")
    assert re.match(r"tiny-skills: built, 2 targets, [1-9] aliases, ", done.stdout)
    assert "needs the names of spaces" in uwe(tmp_path, "precompute", "--aliases", "alternative_labels").stderr


def test_precompute_builds_candidates_where_they_are_asked_for(uwe: Uwe, tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="the extra [ann] is not installed")
    uwe(tmp_path, "data", "import-esco", write(tmp_path / "esco-1.2.0-en"), "--name", "tiny")
    done = uwe(tmp_path, "precompute", "tiny-skills", "--candidates", "ivf")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("indexes/tiny-skills/candidates-*/candidates.faiss"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("precompute", "nonsense"), "error: no target space 'nonsense'"),
        (("precompute", "--export", "torch-int4"), "error: 'torch-int4' is no backend"),
        (("precompute", "--device", "cuda:99"), "error: device 'cuda:99' was asked for"),
        (("precompute", "--model", "nonsense"), "error: no model 'nonsense'"),
        (("data", "import-esco", "nowhere"), "error: nowhere: is neither a folder nor a zip file"),
        (("data", "ingest", "--out", "nowhere"), "error: nothing to ingest"),
        (("data", "build", "--out", "nowhere", "--data", "absent"), "error: absent: is not a folder"),
        (("data", "build", "--out", "nowhere", "--skills", "sample-jobs"), "error: the target space 'sample-jobs' is"),
        (("data", "build", "--out", "nowhere", "--config", "absent.toml"), "error: absent.toml cannot be used"),
        (("job", "--out", "nowhere", "--recipe", "nonsense"), "error: no recipe 'nonsense'"),
        (("evaluate", "--model", "nonsense"), "error: no model 'nonsense'"),
        (("evaluate", "--task", "nonsense"), "error: no data set 'nonsense'"),
        (("model", "get", "nonsense", "nowhere"), "error: no package carries a model 'nonsense'"),
    ],
)
def test_errors_are_one_line(uwe: Uwe, arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = uwe(tmp_path / "home", *arguments)
    assert done.returncode == 1
    *before, last = done.stderr.splitlines()
    assert last.startswith(message)
    assert before in ([], ["fetching nonsense (this takes a few minutes)"])
    assert not (tmp_path / "home").exists()


def test_the_installed_script_tells_errors_without_a_traceback(tmp_path: Path) -> None:
    done = installed_uwe(tmp_path / "home", "precompute", "nonsense")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: no target space 'nonsense'; there are: sample-jobs, sample-skills\n"


def test_an_unknown_space_is_refused_before_any_work(uwe: Uwe, tmp_path: Path) -> None:
    done = uwe(tmp_path / "home", "precompute", "sample-jobs", "nonsense")
    assert (done.returncode, done.stdout) == (1, "")
    assert not (tmp_path / "home").exists()


def test_bad_usage_is_told_apart_from_a_failure(uwe: Uwe, tmp_path: Path) -> None:
    done = uwe(tmp_path / "home", "precompute", "--dtype", "float8")
    assert done.returncode == 2
    assert "float8" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("skills_en.csv", SKILLS.replace("uri:s2", "uri:s1")),
        ("occupations_en.csv", "conceptUri\n"),
        ("occupationSkillRelations_en.csv", "occupationUri,relationType,skillUri\nuri:o1,essential,uri:x\n"),
    ],
)  # fmt: skip
def test_a_failed_import_writes_nothing(uwe: Uwe, name: str, content: str, tmp_path: Path) -> None:
    done = uwe(tmp_path / "home", "data", "import-esco", write(tmp_path / "esco", {**FILES, name: content}))
    assert done.returncode == 1
    assert name in done.stderr
    assert not (tmp_path / "home").exists()


def test_a_taxonomy_is_imported_again_only_where_asked(uwe: Uwe, tmp_path: Path) -> None:
    home, source = tmp_path / "home", write(tmp_path / "esco")
    assert uwe(home, "data", "import-esco", source).returncode == 0
    again = uwe(home, "data", "import-esco", source)
    assert again.returncode == 1
    assert "add --replace" in again.stderr
    assert uwe(home, "data", "import-esco", source, "--replace").returncode == 0
    assert [path.name for path in (home / "taxonomies").iterdir()] == ["esco"]


def test_of_several_languages_one_is_named_by_an_option(uwe: Uwe, tmp_path: Path) -> None:
    files = FILES | {name.replace("_en", "_fr"): text.replace("sing", "chanter") for name, text in FILES.items()}
    arguments = ("data", "import-esco", write(tmp_path / "esco", files))
    refused = uwe(tmp_path / "home", *arguments)
    assert refused.returncode == 1
    assert "has several languages (en, fr)" in refused.stderr
    assert "language fr" in uwe(tmp_path / "home", *arguments, "--language", "fr").stdout


def test_what_an_import_changed_is_printed(uwe: Uwe, tmp_path: Path) -> None:
    source = write(tmp_path / "esco", {**FILES, "skills_en.csv": SKILLS.replace(",sing,", ", sing ,")})
    done = uwe(tmp_path / "home", "data", "import-esco", source)
    assert done.stdout.splitlines()[1] == "changed: 1 labels stripped of outer whitespace"


def test_evaluating_the_sample_prints_the_table_and_writes_the_report(uwe: Uwe, home: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", "--model", "embedded", "--model", "random", "--task", "jobnorm", "--out", tmp_path / "out")
    done = uwe(home, *arguments, "--errors", "1")
    assert done.returncode == 0, done.stderr
    assert "embedded" in done.stdout
    assert "right:" in done.stdout
    assert (tmp_path / "out/report.md").is_file()
    again = uwe(home, *arguments)
    assert "embedded on jobnorm" not in again.stderr  # finished pairs draw no bar


def test_a_pair_of_spaces_of_ones_own_is_judged(uwe: Uwe, home: Path, tmp_path: Path) -> None:
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
    done = installed_uwe(
        home, "benchmark", "paper", "--model", "random", "--task", "jobnorm", "--out", tmp_path / "cost.json"
    )
    assert done.returncode == 0, done.stderr
    assert "paper, A100: UWE" in done.stdout
    assert '"latency_ms"' in (tmp_path / "cost.json").read_text()

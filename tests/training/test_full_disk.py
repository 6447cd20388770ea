"""The offline job on a disk without room: finished work stays, and the error names what could not be written."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from tests.fakes import TINY_WORDS, save_tiny_model
from tests.full_disks import KINDS, NoRoom, disk, files_in, filled, small_disk
from tests.training.test_cli import Uwe, uwe  # noqa: F401 - a fixture, asked for by its name
from tests.training.test_run_log import step, validation
from training.evaluate import judge_all, write_report
from training.pipeline.generation.answers import AnswerCache, Tokens
from training.pipeline.parts import LocalRunner, concatenate, run_parts
from training.pipeline.stage import run_stage
from training.run_log import MetricsLog, read_log
from training.run_plots import save_curves
from training.workbench.baselines.chance import RandomRanking
from training.workbench.dataset import RankingDataset
from training.workbench.report import Report
from training.workbench.results import ResultStore
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.errors import DiskFullError
from uwe_core.target_space import SpaceInfo, TargetSpace


@pytest.fixture(params=KINDS)
def no_room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NoRoom]:
    with disk(request.param, tmp_path / "disk") as found:
        yield found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model("bert", tmp_path_factory.mktemp("tiny") / "model"))


def add_space(home: Path, name: str) -> None:
    """500 targets of eight words that the tiny model knows."""
    drawn = random.Random(name)
    texts = [" ".join(drawn.choices(TINY_WORDS, k=8)) for _ in range(500)]
    space = TargetSpace(SpaceInfo(name=name), [f"{number}" for number in range(500)], texts)
    SpaceCatalogue(home).live_spaces.publish(space, lambda: None)


def test_precompute_tells_in_one_line_and_leaves_finished_indexes(
    request: pytest.FixtureRequest, no_room: NoRoom, model: str, tmp_path: Path
) -> None:
    run: Uwe = request.getfixturevalue("uwe")
    home = tmp_path / "disk"
    for name in ("courses", "diplomas"):
        add_space(home, name)
    assert run(home, "precompute", "courses", "--model", model).returncode == 0
    before = files_in(home)
    with no_room():
        done = run(home, "precompute", "courses", "diplomas", "--model", model)
    assert done.returncode == 1
    assert done.stdout.startswith("courses: reused")
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {home / 'indexes' / 'diplomas'}/")
    assert " cannot be written: " in last
    assert "Traceback" not in done.stderr
    assert files_in(home) == before
    assert run(home, "precompute", "diplomas", "--model", model).stdout.startswith("diplomas: built, 500 targets")


@pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is not installed")
def test_an_index_is_kept_where_its_candidates_find_no_room(
    request: pytest.FixtureRequest, model: str, tmp_path: Path
) -> None:
    run: Uwe = request.getfixturevalue("uwe")
    home = tmp_path / "disk"
    command = ("precompute", "courses", "--candidates", "hnsw", "--model", model)
    with small_disk(home):
        add_space(home, "courses")
        with filled(home, left_bytes=200_000):  # the index has 120,000 bytes, the candidates' graph 180,000
            done = run(home, *command)
            assert (done.returncode, done.stdout) == (1, "")
            assert "/candidates-" in done.stderr
            (index,) = (home / "indexes" / "courses").iterdir()
            assert {path.name for path in index.iterdir()} == {"index.json", "tokens.safetensors"}
        assert run(home, *command).stdout.startswith("courses: reused")


def numbers(part: int) -> pa.Table:
    return pa.table({"number": [number * number + part for number in range(20_000)]})


def test_finished_parts_and_the_stage_before_stay(no_room: NoRoom, tmp_path: Path) -> None:
    root = tmp_path / "disk"

    def build(fingerprint: str) -> None:
        def work(aside: Path) -> Mapping[str, int]:
            parts = run_parts(root / ".parts", [1] * 3, lambda: operator, LocalRunner(), lambda *_: None)
            return {"rows": concatenate(parts, aside / "edges.parquet", numbers(0).schema)}

        run_stage(root / "graphs", "graphs", fingerprint, work)

    operator = numbers
    build("before")
    before = files_in(root)
    (root / ".parts" / "part-000002.parquet").unlink()
    with no_room(), pytest.raises(DiskFullError, match=r"part-000002\.parquet cannot be written"):
        build("after")
    assert files_in(root) == {name: held for name, held in before.items() if not name.endswith("2.parquet")}
    build("after")  # the third part, and the stage
    with no_room(), pytest.raises(DiskFullError, match="/disk/graphs cannot be written"):
        build("later")
    assert files_in(root).keys() == before.keys()
    assert json.loads((root / "graphs" / "manifest.json").read_text())["fingerprint"] == "after"
    assert [path.name for path in root.iterdir() if path.suffix == ".part"] == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "flushed"])  # a log is not flushed to the disk
def test_the_log_of_a_run_keeps_whole_lines(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "disk" / "metrics.jsonl"
    log = MetricsLog(path)

    def write_on() -> None:
        for number in range(1, 1000):
            log.stepped(step(number))

    with disk(kind, tmp_path / "disk") as no_room:
        log.stepped(step(0))
        with no_room(), pytest.raises(DiskFullError, match=r"/metrics\.jsonl cannot be written"):
            write_on()
        text = path.read_text()
        assert text.endswith("}\n")
        written = len(read_log(path))
        assert written == text.count("\n") > 10
        log.validated(validation(written))
        assert len(read_log(path)) == written + 1


def many_queries(seed: int) -> RankingDataset:
    drawn = random.Random(seed)
    texts = [f"{drawn.random()}" for _ in range(6_000)]
    positives = [[drawn.randrange(50)] for _ in texts]
    return RankingDataset("skillsim", "skillsim", "test", "space", texts, texts[:50], positives)


def test_an_evaluation_keeps_what_is_judged_and_the_report_before(no_room: NoRoom, tmp_path: Path) -> None:
    out, store = tmp_path / "disk", ResultStore(tmp_path / "disk" / "finished")
    models, data = [RandomRanking()], [many_queries(1)]
    report = Report(models, data, judge_all(models, data, store), [], paper=False)
    write_report(report, out)
    before = files_in(out)
    with no_room():
        with pytest.raises(DiskFullError, match=r"/finished/\w+\.npz cannot be written"):
            judge_all(models, [many_queries(2)], store)
        with pytest.raises(DiskFullError, match=r"/disk/[\w.]+ cannot be written"):
            write_report(report, out)
        assert store.get(models[0].name, models[0].fingerprint, data[0]) is not None
    assert {name: held for name, held in files_in(out).items() if name.endswith("npz")} == {
        name: held for name, held in before.items() if name.endswith("npz")
    }
    assert files_in(out).keys() == before.keys()
    for name in before:
        if name.endswith(".png"):
            assert (out / name).read_bytes().endswith(b"IEND\xaeB`\x82")


def test_a_picture_is_the_old_one_or_the_new_one(no_room: NoRoom, tmp_path: Path) -> None:
    path = tmp_path / "disk" / "curves.png"
    log = tmp_path / "metrics.jsonl"
    for number in range(4):
        MetricsLog(log).stepped(step(number))
    save_curves(read_log(log), path)
    before = path.read_bytes()
    MetricsLog(log).stepped(step(4))
    with no_room(), pytest.raises(DiskFullError, match=r"/curves\.png cannot be written"):
        save_curves(read_log(log), path)
    assert files_in(tmp_path / "disk") == {"curves.png": before}


def test_answers_that_were_paid_for_stay(tmp_path: Path) -> None:
    path = tmp_path / "disk" / "answers.sqlite"
    with small_disk(tmp_path / "disk"), AnswerCache(path) as cache:
        cache.put("first", b"kept", Tokens(1, 1))
        with filled(tmp_path / "disk"), pytest.raises(DiskFullError, match=r"/answers\.sqlite cannot be written"):
            cache.put("large", bytes(100_000), Tokens(1, 1))
        assert cache.get("first") == b"kept"
        cache.put("last", b"kept too", Tokens(1, 1))
        with AnswerCache(path) as again:
            assert (again.get("first"), again.get("last")) == (b"kept", b"kept too")

"""The whole build: the same bytes however it was interrupted or spread, and nothing done twice."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.training.pipeline.building import CONFIG, build_in, contents, write_sources
from training.build_graphs import graph_build
from training.pipeline.config import BuildConfig, read_config
from training.pipeline.degrees import coverage, degrees
from training.pipeline.graph_sources import SourceTables
from training.pipeline.inputs import RawSources
from training.pipeline.leaks import LeakCheck, leak_key, sample_leak_check
from training.pipeline.parts import LocalRunner, RayRunner
from training.pipeline.stage import read_manifest
from training.pipeline.workspace import Workspace
from uwe_core.errors import ConfigurationError, InputError
from uwe_core.graph import read_graphs
from uwe_core.text import same_text_key

STAGES = ["vacancies", "onet", "documents", "threshold", "predictions", "jobs", "generated", "vectors", "enriched",
          "sharpened", "graphs", "report"]  # fmt: skip
# How often the killing test kills; a long run may want more.
KILLS = int(os.environ.get("UWE_TEST_KILLS", "5"))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> RawSources:
    return write_sources(tmp_path_factory.mktemp("raw") / "sources")


@pytest.fixture(scope="module")
def built(raw: RawSources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built")
    assert build_in(out, raw) == STAGES
    return out


def test_every_graph_has_edges_of_every_source(built: Path) -> None:
    graphs = read_graphs(built / "graphs")
    sources = {name: set(graph.sources) for name, graph in graphs.items()}
    assert sources["job"] >= {"vacancy", "onet", "generated"}
    assert sources["sentence"] == {"generated", "composed", "skillskape", "description"}
    assert {name: sources[name] for name in ("alternative", "title", "activity")} == {
        "alternative": {"generated"}, "title": {"onet"}, "activity": {"onet"},
    }  # fmt: skip
    assert len(graphs["job"].queries) == 60
    sample_leak_check().refuse(graphs.values())
    matched = pl.read_parquet(built / "enriched/edges.parquet").filter(pl.col("source") == "matched")
    assert len(matched) > 0


def test_the_report_tells_counts_and_the_long_tail(built: Path) -> None:
    report = (built / "report/report.md").read_text()
    for stage in STAGES[:-1]:
        assert f"## Stage {stage}\n" in report
    assert "leaks dropped" not in report or "| leaks dropped" in report
    assert "| job, real titles alone |" in report
    for picture in ("degrees.png", "matching.png"):
        assert (built / "report" / picture).stat().st_size > 5_000
    edges = pl.read_parquet(built / "graphs/job.parquet")
    everything, real = degrees(edges, 60), degrees(edges, 60, ["vacancy", "onet"])
    assert everything.sum() == len(edges)
    assert (real <= everything).all()
    assert coverage(real) < coverage(everything) <= 1


def test_validation_titles_are_in_no_graph(built: Path) -> None:
    validation = pl.read_parquet(built / "graphs/validation/titles.parquet")
    kept_out = {same_text_key(title) for title in validation["title"]}
    assert len(kept_out) >= 3
    for graph in read_graphs(built / "graphs").values():
        texts = graph.targets if graph.of_skills else [*graph.targets, *graph.queries]
        assert kept_out.isdisjoint(map(same_text_key, texts))


def test_a_finished_build_is_reused_and_a_change_redoes_what_depends_on_it(
    built: Path, raw: RawSources, tmp_path: Path
) -> None:
    assert build_in(built, raw) == []
    changed = CONFIG.model_copy(update={"sharpen": CONFIG.sharpen.model_copy(update={"composed_lines": 10})})
    assert build_in(built, raw, config=changed) == ["sharpened", "graphs", "report"]
    assert build_in(built, raw) == ["sharpened", "graphs", "report"]
    assert not list((built / ".parts").iterdir())


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_ray_workers_give_the_same_bytes(
    built: Path, raw: RawSources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # a busy machine would starve them
    try:
        build_in(tmp_path, raw, RayRunner(workers=2))
    finally:
        ray.shutdown()
    assert contents(tmp_path / "graphs") == contents(built / "graphs")


def killed_builds(out: Path, raw: RawSources, longest: float) -> Iterator[int]:
    """Start builds and kill each after a random time, until one has ended by itself; their exit codes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.pipeline.building"])
    chance = random.Random(int(time.time()))
    for kill in range(KILLS + 1):
        process = context.Process(target=build_in, args=(out, raw))
        process.start()
        process.join(None if kill == KILLS else chance.uniform(0.2, longest))
        if process.is_alive():
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        assert process.exitcode is not None
        yield process.exitcode


def test_builds_killed_at_random_moments_end_in_the_same_bytes(built: Path, raw: RawSources, tmp_path: Path) -> None:
    codes = list(killed_builds(tmp_path, raw, longest=4.0))
    assert -signal.SIGKILL in codes
    assert codes[-1] == 0
    assert contents(tmp_path / "graphs") == contents(built / "graphs")
    assert not list(tmp_path.glob(".*.part"))
    for stage in STAGES[:-1]:  # pictures need not be the same bytes
        assert read_manifest(tmp_path / stage) == read_manifest(built / stage)


def test_two_builds_do_not_work_in_one_folder(built: Path, raw: RawSources) -> None:
    with Workspace(built, RayRunner(), lambda *_: None).locked(), pytest.raises(ConfigurationError, match="at work in"):
        build_in(built, raw)


def test_without_sources_or_a_threshold_there_is_a_clear_error(raw: RawSources, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "empty", LocalRunner(), lambda *_: None)
    build = graph_build(workspace, "sample", RawSources(), None, CONFIG, "cpu")
    with pytest.raises(InputError, match="nothing to build graphs from"):
        replace(build, texts=None).run()
    with pytest.raises(ConfigurationError, match=r"set extract\.threshold"):
        build_in(tmp_path / "blind", raw, config=BuildConfig())


def test_settings_are_read_from_a_file_and_mistakes_named(tmp_path: Path) -> None:
    path = tmp_path / "build.toml"
    path.write_text("seed = 3\n[extract]\nthreshold = 0.5\n")
    assert read_config(path).extract.threshold == 0.5
    path.write_text("[extract]\ntreshold = 0.5\n")
    with pytest.raises(ConfigurationError, match="treshold"):
        read_config(path)


def test_noise_hides_no_test_title(built: Path) -> None:
    texts = pl.read_parquet(built / "documents/titles.parquet").filter(pl.col("source") == "onet")
    occupations = texts.group_by("group", maintain_order=True).agg("title")["title"].to_list()
    forbidden = occupations[0][1]
    check = LeakCheck({leak_key(forbidden): "a rule"})
    tables = SourceTables([], built / "documents", built / "jobs", None)
    counts: Counter[str] = Counter()
    everything = tables.title_graph(0.0, LeakCheck({}), Counter(), seed=0)
    kept = tables.title_graph(0.0, check, counts, seed=0)
    assert any(forbidden.casefold() in query.casefold() for query in everything["query"])
    assert not any(forbidden.casefold() in query.casefold() for query in kept["query"])
    assert counts["leaks dropped: a rule in titles of occupations"] >= 1

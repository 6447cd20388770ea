"""The whole offline job on the sample, as a container runs it: a better model, its report, its indexes."""

from __future__ import annotations

from pathlib import Path

from training.offline_job import OfflineJob
from training.pipeline.config import BuildConfig
from training.pipeline.inputs import RawSources
from training.pipeline.parts import LocalRunner
from training.recipes import recipe_of
from training.run_config import overridden
from uwe_core.catalogue import INDEXES

SETTINGS = (
    "train.steps=2",
    "train.evaluate_every=2",
    "train.sampling.skills_per_batch=8",
    "validation.most_queries=10",
)


def test_the_job_ends_in_a_model_a_report_and_indexes_and_is_not_done_twice(tmp_path: Path) -> None:
    run = overridden(recipe_of("smoke"), SETTINGS)
    job = OfflineJob(tmp_path / "out", "sample", RawSources(), BuildConfig(), run, LocalRunner(), "cpu")
    job.build_graphs(lambda *_: None)
    assert not job.train(lambda: False).stopped
    report = job.evaluate()
    assert report.names[1:] == ["best"]
    assert (tmp_path / "out/evaluation/report.md").is_file()
    done = job.precompute(tmp_path / "home")
    assert {precomputed.space.info.name for precomputed in done} == {"sample-skills", "sample-jobs"}
    assert len(list((tmp_path / "home" / INDEXES).glob("*/*"))) == 2
    reused: list[bool] = []
    job.build_graphs(lambda folder, manifest, was_reused: reused.append(was_reused))
    assert all(reused)
    assert job.train(lambda: False).progress.step == 2
    assert all(precomputed.reused for precomputed in job.precompute(tmp_path / "home"))

"""Texts by rule for the sample, and the way from them to a trained model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from training.build_graphs import graph_build
from training.pipeline.config import BuildConfig, DocumentsConfig, ExtractConfig
from training.pipeline.generation.generated_texts import DescribedSkill
from training.pipeline.inputs import RawSources, skills_of
from training.pipeline.leaks import sample_leak_check
from training.pipeline.parts import LocalRunner
from training.pipeline.workspace import Workspace
from training.recipes import recipe_of
from training.run_config import overridden
from training.sources.sample_texts import SampleTexts, written_by_rule
from training.train import TrainRequest, train
from uwe_core.sample import sample_skills

pytestmark = pytest.mark.usefixtures("one_thread")


def described() -> list[DescribedSkill]:
    space = sample_skills()
    return [DescribedSkill(skill.uri, skill.label, skill.description) for skill in skills_of(space, range(len(space)))]


def test_every_skill_has_texts_of_every_kind_and_they_are_the_same_each_time() -> None:
    skills = described()
    generated = SampleTexts().texts_of(skills, lambda *_: None)
    assert generated == SampleTexts().texts_of(skills, lambda *_: None)
    kinds = Counter((text.skill_uri, text.kind) for text in generated.texts)
    assert kinds.keys() == {(skill.uri, kind) for skill in skills for kind in ("title", "alternative", "sentence")}


def test_hardly_a_text_is_one_that_the_sample_is_judged_on() -> None:
    check = sample_leak_check()
    texts = SampleTexts().texts_of(described(), lambda *_: None).texts
    assert len([text for text in texts if check.rule(text.text)]) < 0.005 * len(texts)


def test_the_rules_write_what_one_can_read() -> None:
    weld = DescribedSkill("S001", "weld metal parts", "Join metal with heat, check the seam and clean it.")
    texts = written_by_rule(weld, "manufacturing", can_do=True)
    assert texts["title"][0] == "metal parts specialist"
    assert texts["sentence"] == [
        "In this manufacturing role you join metal with heat.",
        "Part of the work: check the seam and clean it.",
    ]
    calm = DescribedSkill("S002", "calm manner", "Staying calm.")
    assert written_by_rule(calm, "education", can_do=False)["alternative"] == ["staying calm", "staying calm"]


def test_from_the_sample_to_a_trained_model(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "build", LocalRunner(), lambda *_: None)
    config = BuildConfig(documents=DocumentsConfig(limit_skills=20), extract=ExtractConfig(threshold=0.5))
    graphs = graph_build(workspace, "sample", RawSources(), None, config, device="cpu").run()
    settings = ["train.steps=2", "train.sampling.skills_per_batch=6", "train.lora.rank=2"]
    less = ["validation.most_queries=5", "validation.most_targets=20"]
    run = overridden(recipe_of("smoke"), settings + less)
    result = train(TrainRequest(graphs, "sample", run, tmp_path / "run", device="cpu"))
    assert result.progress.step == 2
    assert (tmp_path / "run/best/adapter.safetensors").is_file()

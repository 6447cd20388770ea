"""The benchmark of candidates: texts are distinct, both ways are asked alike, and its report says what was skipped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.core.candidates.clustered import clustered_index, clustered_queries
from tests.fakes import save_tiny_model
from training.benchmark_candidates import CandidateCost, candidate_report, measure_index
from training.composed_texts import composed_space
from uwe_core.errors import InputError
from uwe_core.interaction import InteractionConfig
from uwe_core.model import UweModel
from uwe_core.sample import sample_skills
from uwe_core.scoring.candidates import CandidateConfig
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.text import same_text_key


def test_composed_texts_are_distinct_and_begin_with_the_labels() -> None:
    skills = sample_skills()
    space = composed_space(skills, 10_000)
    assert len(space) == 10_000 == len({same_text_key(text) for text in space.texts})
    assert space.texts[: len(skills)] == skills.texts
    assert skills.metadata_of([0])[0]["alternative_labels"][0] in space.texts
    assert f"{skills.texts[0]} in hospitals" in space.texts


def test_more_than_can_be_composed_is_refused() -> None:
    space = TargetSpace(SpaceInfo(name="few"), ["1", "2"], ["nurse", "Nurse"])
    with pytest.raises(InputError, match="432 texts"):
        composed_space(space, 433)
    assert len(composed_space(space, 432)) == 432


def test_candidates_are_measured_beside_exact_scoring_and_reported(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="the extra [ann] is not installed")
    model = UweModel.from_pretrained(save_tiny_model("bert", tmp_path / "tiny"), device="cpu")
    model = model.with_interaction(InteractionConfig(interaction_temperature=5))
    index, queries = clustered_index(300), clustered_queries([3] * 5)
    many = measure_index(index, model, queries, CandidateConfig(count=150), tmp_path / "many")
    few = measure_index(index, model, queries, CandidateConfig(count=1), tmp_path / "few")
    assert many.targets == 300
    assert many.index_bytes == index.nbytes
    assert many.candidate_bytes > 300 * 32 * 4
    assert min(many.build_seconds, many.open_seconds, many.exact_seconds, many.candidate_seconds) > 0
    assert 0.2 < few.recall < many.recall <= 1
    filled = replace(many, encoded=False, targets=1_000_000)
    skipped = CandidateCost(2_000_000, encoded=False, skipped="no memory")
    report = candidate_report([many, filled, skipped], {"machine": "this"})
    assert f"| 300 | encoded | {index.nbytes / 1e6:,.0f} |" in report.markdown()
    assert "| 1,000,000 | filled up |" in report.markdown()
    assert "| skipped: no memory |" in report.markdown()
    (written, *_) = report.write(tmp_path / "out")
    assert json.loads(written.read_text())["figures"][0]["recall"] == many.recall

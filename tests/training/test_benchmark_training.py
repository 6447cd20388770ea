"""The cost of a training step: made-up texts of the right lengths, and every part of a step measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import save_tiny_model
from tests.training.test_cli import Uwe, uwe  # noqa: F401 - a fixture
from training.benchmark_training import ALONE, LABEL_WORDS, PARTS, TARGET_WORDS, made_up_graphs, measure_training
from uwe_core.gradients.gradient_cache import StepLimits
from uwe_core.model import UweModel


def test_made_up_texts_are_distinct_have_their_lengths_and_belong_to_their_skill() -> None:
    graphs = made_up_graphs(30)
    assert [graph.name for graph in graphs] == list(TARGET_WORDS)
    for graph in graphs:
        for texts, (least, most) in ((graph.queries, LABEL_WORDS), (graph.targets, TARGET_WORDS[graph.name])):
            assert len(set(texts)) == 30
            assert all(least <= len(text.split()) <= most for text in texts)
        assert {(skill, skill) for skill in range(30)} <= {(int(query), int(target)) for query, target in graph.edges}


def test_parts_make_a_step_and_its_ratio_to_the_encoder_alone(tmp_path: Path) -> None:
    model = UweModel.from_pretrained(save_tiny_model("bert", tmp_path / "tiny"), device="cpu")
    cost = measure_training(model, 6, 2, StepLimits())
    assert set(cost.seconds) == {*PARTS, ALONE}
    assert all(seconds > 0 for seconds in cost.seconds.values())
    assert cost.step_seconds == pytest.approx(sum(cost.seconds[part] for part in PARTS))
    assert cost.ratio * cost.seconds[ALONE] == pytest.approx(cost.step_seconds - cost.seconds["optimiser"])
    assert 6 + 3 <= cost.texts <= 4 * 6
    assert cost.tokens > 3 * cost.texts
    assert cost.token_pairs > 0
    assert cost.peak_bytes > 2**20


def test_the_command_prints_the_parts_the_rate_and_the_memory(uwe: Uwe, tmp_path: Path) -> None:  # noqa: F811
    folder = save_tiny_model("bert", tmp_path / "tiny")
    options = ("--model", folder, "--skills", "4", "--steps", "1", "--device", "cpu", "--pairs-per-block", "500")
    done = uwe(tmp_path, "benchmark", "training", *options)
    assert done.returncode == 0, done.stderr
    for wanted in (*PARTS, "texts a second", "ns for each of", f"s, {ALONE}", "peak memory", "4 skills"):
        assert wanted in done.stdout

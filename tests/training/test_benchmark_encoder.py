"""`uwe benchmark encoder` and `uwe benchmark waiting`: all shapes have figures, and processes wait as told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import save_tiny_model
from training import benchmark_encoder, benchmark_waiting, encoder_cli
from training.benchmark_encoder import REFERENCE, SHAPES, TRANSFORMERS, BackendCost, EncoderCosts, waiting_as
from training.benchmark_waiting import WAITING, WaitingCosts
from uwe_core.backends.interface import TOLERANCES
from uwe_core.waiting import SLEEPING


def test_every_backend_is_measured_in_every_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    monkeypatch.setattr(benchmark_encoder, "PRECISIONS", {"torch": ("float32", "bfloat16"), "onnx": ("bfloat16",)})
    model = str(save_tiny_model("bert", tmp_path / "tiny"))
    costs = benchmark_encoder._measure_here(model, tmp_path, rounds=2, threads=1, device="cpu")
    assert [cost.backend for cost in costs.costs] == [TRANSFORMERS, REFERENCE, "torch bfloat16"]
    assert list(costs.absent) == ["onnx bfloat16"]
    for cost in costs.costs:
        assert cost.milliseconds.keys() == cost.ratios.keys() == SHAPES.keys()
        assert min(cost.milliseconds.values()) > 0
    assert set(costs.costs[1].ratios.values()) == {1}
    assert costs.costs[0].error <= TOLERANCES["float32"] < costs.costs[2].error <= TOLERANCES["bfloat16"]
    json.dumps(costs.as_json())


def test_processes_wait_as_they_are_told_and_this_one_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    for variables in WAITING.values():
        with waiting_as(variables):
            code = "import json, os; print(json.dumps(dict(os.environ)))"
            there = json.loads(subprocess.check_output([sys.executable, "-c", code]))
            assert {name: there[name] for name in SLEEPING if name in there} == variables
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert "GOMP_SPINCOUNT" not in os.environ


def test_a_turn_times_calls_of_the_prepared_backend(tmp_path: Path, one_thread: None) -> None:
    benchmark_waiting._prepare(str(save_tiny_model("bert", tmp_path / "tiny")), "torch", tmp_path, 1)
    assert min(benchmark_waiting._turn()) > 0


def test_figures_are_shown_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cost = BackendCost("torch int4", dict.fromkeys(SHAPES, 12.34), dict.fromkeys(SHAPES, 0.5), 0.001)
    costs = EncoderCosts("m", "a machine", 2, 5, [cost], {"onnx int8": "is not installed"})
    waits = WaitingCosts("m", "torch", "a machine", 2, {"alone": {"sleeping": 7.25, "as torch comes": 6.5}})
    monkeypatch.setattr(encoder_cli, "measure_encoder", lambda *arguments: costs)
    monkeypatch.setattr(encoder_cli, "measure_waiting", lambda *arguments: waits)
    encoder_cli.encoder_command(out=tmp_path / "encoder.json", home=tmp_path)
    encoder_cli.waiting_command(out=tmp_path / "waiting.json", home=tmp_path)
    shown = capsys.readouterr().out
    for part in ("12.3 (0.50)", "onnx int8: is not installed", "7.2", "6.5"):
        assert part in shown
    assert json.loads((tmp_path / "encoder.json").read_text()) == costs.as_json()
    assert json.loads((tmp_path / "waiting.json").read_text()) == waits.as_json()

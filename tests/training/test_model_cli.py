"""`uwe tune`, `uwe calibrate` and `uwe probe` from words to files, on the sample and the built-in model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.core.test_adapter import adapter_of, write_checkpoint
from training.cli import app
from uwe_core.model import UweModel, read_checkpoint_info

pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_adapter_is_tuned_calibrated_and_probed(tmp_path: Path, embedded_model: UweModel) -> None:
    tensors = adapter_of(embedded_model.encoder.backbone)  # the tiny tokenizer has not the sample's words
    trained = write_checkpoint(tmp_path / "trained", "embedded", tensors, scale=0.001)
    tuned, few = tmp_path / "tuned", ["--data", "sample", "--graphs", str(tmp_path), "--most-queries", "5"]
    runner = CliRunner()
    tried = ["--strength", "0", "--strength", "1", "--interaction", "context_match@0.5"]
    done = runner.invoke(app, ["tune", str(trained), "--out", str(tuned), *tried, *few])
    assert done.exit_code == 0, done.output
    assert "context_match at 0.5: average MAP" in done.output
    info = read_checkpoint_info(tuned)
    assert info is not None
    assert info.adapter_scale in (0.0, 0.001)
    several = runner.invoke(app, ["tune", str(trained), str(tuned), "--out", str(tmp_path / "mean"), *few])
    assert "--average" in str(several.exception)
    done = runner.invoke(app, ["calibrate", str(tuned), *few])
    assert done.exit_code == 0, done.output
    calibrated = read_checkpoint_info(tuned)
    assert calibrated is not None
    assert calibrated.model_copy(update={"calibration": {}}) == info
    assert "jobnorm" in calibrated.calibration
    assert (tuned / "calibration.png").is_file()
    out = tmp_path / "probed"
    done = runner.invoke(
        app, ["probe", str(tuned), "--out", str(out), "--home", str(tmp_path), "--space", "sample-jobs"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads((out / "bias.json").read_text())["spaces"]["sample-jobs"]["targets"] == 160

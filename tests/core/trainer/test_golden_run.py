"""A short run has the losses that it had: a change of the numbers is noticed, also one that no other test looks for.

After a wanted change, `UWE_WRITE_GOLDEN=1 .venv/bin/pytest tests/core/trainer/test_golden_run.py` writes them anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.core.trainer.training_setup import Recorder, tiny_config, tiny_trainer
from tests.fakes import save_tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDEN = Path(__file__).parents[2] / "golden/toy_run.json"
STEPS = 20
# Rounding differs between processors, and steps add it up.
TOLERANCE = 1e-4


def test_twenty_steps_have_the_recorded_losses(tmp_path: Path) -> None:
    # Without dropout, whose random numbers may be others on another processor.
    config = tiny_config(steps=STEPS, dropout=0.0, peak_learning_rate=3e-3, evaluate_every=STEPS, save_every=STEPS)
    recorder = Recorder()
    tiny_trainer(save_tiny_model("bert", tmp_path / "base"), tmp_path / "run", config, recorder).run()
    found: dict[str, list[Any]] = {
        "losses": recorder.losses,
        "gradient_norms": [report.gradient_norm for report in recorder.steps],
        "entropies": [dict(report.entropies) for report in recorder.steps if report.entropies],
    }
    if os.environ.get("UWE_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert len(golden["losses"]) == STEPS
    assert found["losses"] == pytest.approx(golden["losses"], rel=TOLERANCE)
    assert found["gradient_norms"] == pytest.approx(golden["gradient_norms"], rel=10 * TOLERANCE)
    assert len(found["entropies"]) == len(golden["entropies"])
    for entropies, wanted in zip(found["entropies"], golden["entropies"], strict=True):
        assert entropies == pytest.approx(wanted, rel=TOLERANCE)

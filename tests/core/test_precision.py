"""The precision of the encoder follows a measurement, and never changes the fingerprint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.fakes import save_tiny_model
from uwe_core import precision
from uwe_core.model import UweModel


@pytest.mark.parametrize(
    ("seconds", "chosen"), [((1.0, 0.5), "bfloat16"), ((1.0, 0.9), "float32"), ((1.0, 28.0), "float32")]
)
def test_precision_follows_a_measurement(
    seconds: tuple[float, float], chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = UweModel.from_pretrained(save_tiny_model("bert", tmp_path / "model"), device="cpu").encoder
    by_type = dict(zip((torch.float32, torch.bfloat16), seconds, strict=True))
    monkeypatch.setattr(precision, "_forward_seconds", lambda candidate: by_type[candidate.dtype])
    fingerprint = encoder.fingerprint
    precision.with_precision(encoder, "auto")
    assert encoder.dtype == getattr(torch, chosen)
    assert encoder.fingerprint == fingerprint


def test_the_real_measurement_chooses_something_that_encodes(tmp_path: Path) -> None:
    model = UweModel.from_pretrained(save_tiny_model("mpnet", tmp_path / "model"), device="cpu", precision="auto")
    assert torch.isfinite(model.encoder.encode(model.encoder.tokenise(["nurse"])).embeddings).all()

"""The choice of a backend follows what was measured, and settings before that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.fakes import save_tiny_model
from uwe_core.backends import choosing, making
from uwe_core.backends.choosing import Candidate, Trial, best, candidates, made_up_texts, use_backend
from uwe_core.backends.interface import TOLERANCES, Int8Backend
from uwe_core.backends.making import is_available
from uwe_core.backends.shortfall import shortfall
from uwe_core.encoder import TokenEncoder
from uwe_core.errors import ConfigurationError
from uwe_core.model import UweModel


@pytest.fixture
def encoder(tmp_path: Path) -> TokenEncoder:
    return UweModel.from_pretrained(save_tiny_model("mpnet", tmp_path / "model"), device="cpu").encoder


def trial(way: Candidate, speedup: float, error: float = 0.0) -> Trial:
    return Trial(*way, {}, float(speedup), error)


TORCH: Candidate = ("torch", "float32")
TORCH_16: Candidate = ("torch", "bfloat16")
ONNX: Candidate = ("onnx", "float32")
OPENVINO: Candidate = ("openvino", "float32")
OPENVINO_16: Candidate = ("openvino", "bfloat16")
ONNX_8: Candidate = ("onnx", "int8")
OPENVINO_8: Candidate = ("openvino", "int8")


@pytest.mark.parametrize(
    ("speedups", "chosen"),
    [
        ({TORCH: 1, TORCH_16: 2}, TORCH_16),
        ({TORCH: 1, TORCH_16: 1.1}, TORCH),  # bfloat16 must be worth what it loses
        ({TORCH: 1, TORCH_16: 0.04}, TORCH),
        ({TORCH: 1, ONNX: 1.3, OPENVINO: 1.9}, OPENVINO),
        ({TORCH: 1, ONNX: 1.05}, TORCH),  # and another library what it asks for
        ({TORCH: 1, OPENVINO: 1.9, OPENVINO_16: 2.2}, OPENVINO),
        ({TORCH: 1, TORCH_16: 2.5, OPENVINO: 1.9, OPENVINO_16: 4}, OPENVINO_16),
        ({TORCH: 1, OPENVINO_16: 2.3, ONNX_8: 3.1, OPENVINO_8: 3}, ONNX_8),
        ({TORCH: 1, OPENVINO_16: 2.3, OPENVINO_8: 2.6}, OPENVINO_16),  # and int8 more than bfloat16 has won
        ({TORCH: 1, OPENVINO_16: 1.2, ONNX_8: 1.3}, ONNX_8),
        ({OPENVINO_8: 1, TORCH_16: 1.1, TORCH: 1}, TORCH),  # in whatever order they stand
    ],
)
def test_the_clearly_fastest_is_chosen(speedups: dict[Candidate, float], chosen: Candidate) -> None:
    assert best([trial(way, speedup) for way, speedup in speedups.items()]) == chosen


def test_what_rounds_must_be_slower_nowhere() -> None:
    """A shorter wait for one caller is no reason to answer many callers later."""
    exact, rounded = [Trial(*way, {"1x8": 6.0, "32": 25.0}, 2.0, 0.0) for way in (OPENVINO_16, ONNX_8)]
    quicker = replace(rounded, milliseconds={"1x8": 2.0, "32": 26.0}, speedup=3.0)
    assert best([exact, quicker]) == OPENVINO_16
    assert best([exact, replace(quicker, milliseconds={"1x8": 2.0, "32": 25.0})]) == ONNX_8


def test_what_is_wrong_is_never_chosen() -> None:
    wrong = trial(OPENVINO, 9, error=2 * TOLERANCES["float32"])
    assert best([trial(TORCH, 1), wrong]) == TORCH
    assert best([trial(TORCH, 1), trial(OPENVINO_16, 9, error=float("inf"))]) == TORCH
    with pytest.raises(ConfigurationError, match="tolerance"):
        best([wrong])
    wanted = torch.ones(2, 3)
    assert shortfall(wanted, wanted) < 1e-12
    assert shortfall(torch.tensor([[1.0, 1, 1], [1, 1, torch.nan]]), wanted) == float("inf")
    assert shortfall(torch.tensor([[1.0, 1, 1], [-1, -1, -1]]), wanted) == pytest.approx(2)


def test_settings_bound_the_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "is_available", lambda name: name != "onnx")
    assert candidates("auto", "auto") == [TORCH, TORCH_16, OPENVINO, OPENVINO_16]
    assert candidates("auto", "int8") == [OPENVINO_8]
    both: tuple[Int8Backend, ...] = ("openvino", "onnx")
    assert candidates("auto", "auto", both) == [TORCH, TORCH_16, OPENVINO, OPENVINO_16, OPENVINO_8]
    assert candidates("auto", "auto", both[1:]) == [TORCH, TORCH_16, OPENVINO, OPENVINO_16]
    assert candidates("openvino", "bfloat16", both[:1]) == [OPENVINO_16]
    assert candidates("onnx", "auto") == [ONNX]
    assert candidates("torch", "bfloat16") == [TORCH_16]
    monkeypatch.setattr(choosing, "is_available", lambda name: name == "torch")
    with pytest.raises(ConfigurationError, match=r"int8.*\[openvino\]"):
        candidates("auto", "int8")


def test_a_setting_is_obeyed_without_a_measurement(encoder: TokenEncoder, tmp_path: Path) -> None:
    fingerprint = encoder.fingerprint
    summary = use_backend(encoder, "torch", "bfloat16", tmp_path, threads=3)
    assert (summary.backend, summary.precision, summary.threads, summary.trials) == ("torch", "bfloat16", 3, ())
    assert encoder.backend is not None
    assert encoder.backend.precision == "bfloat16"
    assert (encoder.fingerprint, encoder.dtype) == (fingerprint, torch.float32)


@pytest.mark.parametrize(("backend", "cheap_int8"), [("torch", ()), ("auto", ("openvino",))])
def test_the_real_measurement_chooses_something_that_encodes(
    backend: str,
    cheap_int8: tuple[Int8Backend, ...],
    encoder: TokenEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # exporting to ONNX takes seconds
    monkeypatch.setattr(choosing, "is_available", lambda name: name != "onnx" and is_available(name))
    plain = encoder.encode(encoder.tokenise(["nurse"])).embeddings
    summary = use_backend(encoder, backend, "auto", tmp_path, 1, cheap_int8)  # type: ignore[arg-type]
    assert (summary.backend, summary.precision) in {(each.backend, each.precision) for each in summary.trials}
    assert {(each.backend, each.precision) for each in summary.trials} >= {TORCH, TORCH_16}
    in_int8 = {each.backend for each in summary.trials if each.precision == "int8"}
    assert in_int8 == {name for name in cheap_int8 if name != "onnx" and is_available(name)}
    for each in summary.trials:
        assert each.milliseconds.keys() == choosing.TRIALS.keys()
        assert min(each.milliseconds.values()) > 0
    assert summary.trials[0].speedup == 1
    assert shortfall(encoder.encode(encoder.tokenise(["nurse"])).embeddings, plain) <= TOLERANCES[summary.precision]


def test_one_that_cannot_be_made_is_left_out(
    encoder: TokenEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = making.make_backend

    def disk_full(encoder: TokenEncoder, name: str, *options: object) -> object:
        if name == "onnx":
            raise OSError("no space left on device")
        return make(encoder, name, *options)  # type: ignore[arg-type]

    monkeypatch.setattr(choosing, "make_backend", disk_full)
    monkeypatch.setattr(choosing, "candidates", lambda *_: [TORCH, ONNX])
    summary = use_backend(encoder, "auto", "auto", tmp_path, threads=1)
    assert [each.backend for each in summary.trials] == ["torch"]
    monkeypatch.setattr(choosing, "candidates", lambda *_: [ONNX, ONNX])
    with pytest.raises(ConfigurationError, match="no space left"):
        use_backend(encoder, "onnx", "auto", tmp_path, threads=1)


def test_made_up_texts_fit_any_encoder(encoder: TokenEncoder) -> None:
    texts = made_up_texts((3, 99), encoder)
    assert [len(text) for text in texts] == [3, encoder.max_tokens]
    assert texts == made_up_texts((3, 99), encoder)
    assert max(max(text) for text in texts) < encoder.backbone.config.vocab_size

"""Adapters: merged as the formula says, scaled, and refused whole where anything does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.fakes import FAMILIES, save_tiny_model
from uwe_core.adapter import ADAPTER_FILE, merge_adapter
from uwe_core.errors import ArtefactError
from uwe_core.interaction import InteractionConfig
from uwe_core.model import CheckpointInfo, UweModel


def write_checkpoint(folder: Path, base: str, tensors: Mapping[str, Tensor], scale: float) -> Path:
    folder.mkdir()
    save_file(dict(tensors), folder / ADAPTER_FILE)
    info = CheckpointInfo(interaction=InteractionConfig(kind="max_sim"), base=base, adapter_scale=scale)
    (folder / "uwe.json").write_text(info.model_dump_json())
    return folder


def adapter_of(backbone: nn.Module, rank: int = 2) -> dict[str, Tensor]:
    torch.manual_seed(0)
    tensors = {}
    for name, layer in backbone.named_modules():
        if isinstance(layer, nn.Linear):
            tensors[f"{name}.a"] = torch.randn(rank, layer.in_features, dtype=torch.float16)
            tensors[f"{name}.b"] = torch.randn(layer.out_features, rank, dtype=torch.float16)
    return tensors


@pytest.mark.parametrize("family", FAMILIES)
def test_every_named_layer_becomes_the_base_plus_the_scaled_product(family: str, tmp_path: Path) -> None:
    base = UweModel.from_pretrained(save_tiny_model(family, tmp_path / "base"), device="cpu")
    tensors = adapter_of(base.encoder.backbone)
    folder = write_checkpoint(tmp_path / "tuned", str(tmp_path / "base"), tensors, scale=0.5)
    tuned = UweModel.from_pretrained(folder, device="cpu")
    assert tuned.interaction.kind == "max_sim"
    assert tuned.encoder.fingerprint != base.encoder.fingerprint
    before = dict(base.encoder.backbone.named_parameters())
    for name, after in tuned.encoder.backbone.named_parameters():
        layer = name.removesuffix(".weight")
        change = 0.5 * tensors[f"{layer}.b"].float() @ tensors[f"{layer}.a"].float() if f"{layer}.a" in tensors else 0.0
        torch.testing.assert_close(after, before[name] + change)


def test_an_adapter_of_scale_zero_is_its_base(tmp_path: Path) -> None:
    base = UweModel.from_pretrained(save_tiny_model("bert", tmp_path / "base"), device="cpu")
    tensors = adapter_of(base.encoder.backbone)
    folder = write_checkpoint(tmp_path / "tuned", str(tmp_path / "base"), tensors, scale=0.0)
    assert UweModel.from_pretrained(folder, device="cpu").encoder.fingerprint == base.encoder.fingerprint


def test_what_is_saved_is_whole_and_needs_no_base(tmp_path: Path) -> None:
    base = UweModel.from_pretrained(save_tiny_model("mpnet", tmp_path / "base"), device="cpu")
    folder = write_checkpoint(tmp_path / "tuned", str(tmp_path / "base"), adapter_of(base.encoder.backbone), scale=0.5)
    tuned = UweModel.from_pretrained(folder, device="cpu")
    tuned.save_pretrained(tmp_path / "whole")
    assert UweModel.from_pretrained(tmp_path / "whole", device="cpu").fingerprint == tuned.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda tensors: tensors | {"nowhere.a": torch.zeros(2, 16), "nowhere.b": torch.zeros(16, 2)},
            "which the model has not",
        ),
        (lambda tensors: {name: tensor for name, tensor in tensors.items() if name.endswith(".a")}, "half of"),
        (lambda tensors: {name: tensor.T.contiguous() for name, tensor in tensors.items()}, "not"),
        (lambda tensors: {}, "changes no layer"),
    ],
)
def test_an_adapter_that_does_not_fit_changes_nothing(change: object, message: str, tmp_path: Path) -> None:
    backbone = UweModel.from_pretrained(save_tiny_model("bert", tmp_path / "base"), device="cpu").encoder.backbone
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    save_file(change(adapter_of(backbone)), tmp_path / ADAPTER_FILE)  # type: ignore[operator]
    with pytest.raises(ArtefactError, match=message):
        merge_adapter(backbone, tmp_path / ADAPTER_FILE, 1.0)
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_an_adapter_without_a_base_or_broken_is_a_clear_error(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tuned", "", {"x.a": torch.zeros(1)}, scale=1.0)
    facts = CheckpointInfo(interaction=InteractionConfig())
    (folder / "uwe.json").write_text(facts.model_dump_json())
    with pytest.raises(ArtefactError, match="names no base"):
        UweModel.from_pretrained(folder, device="cpu")
    (folder / ADAPTER_FILE).write_bytes(b"rubbish")
    with pytest.raises(ArtefactError, match="cannot be read"):
        merge_adapter(nn.Linear(2, 2), folder / ADAPTER_FILE, 1.0)

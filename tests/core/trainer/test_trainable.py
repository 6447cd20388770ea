"""What is trained: frozen weights stay, adapters begin as nothing, and merged into their base they are the model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests.core.trainer.training_setup import LORA, embeddings, tiny_config, tiny_model, tiny_trainer, weights_of
from tests.fakes import FAMILIES, save_tiny_model
from uwe_core.adapter import ADAPTER_FILE
from uwe_core.errors import ConfigurationError
from uwe_core.model import UweModel
from uwe_core.trainer.learner import Learner
from uwe_core.trainer.lora import lora_factors
from uwe_core.trainer.trainable import make_trainable

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_change_nothing_before_training_and_every_linear_layer_has_one(family: str, tmp_path: Path) -> None:
    model = tiny_model(save_tiny_model(family, tmp_path / "base"))
    before = embeddings(model)
    linear = {name for name, layer in model.encoder.backbone.named_modules() if isinstance(layer, torch.nn.Linear)}
    trained = make_trainable(model.encoder.backbone, tiny_config(lora=LORA))
    model.encoder.backbone.eval()
    torch.testing.assert_close(embeddings(model), before)
    assert lora_factors(model.encoder.backbone).keys() == linear
    assert all("lora_" in name for name in trained)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_adapter_merged_into_its_base_is_the_trained_model(family: str, tmp_path: Path) -> None:
    base = save_tiny_model(family, tmp_path / "base")
    trainer = tiny_trainer(base, tmp_path / "run", tiny_config(lora=LORA, peak_learning_rate=0.3))
    before = embeddings(UweModel.from_pretrained(base, device="cpu"))
    trainer.run()
    trainer.model.encoder.backbone.eval()
    trained = embeddings(trainer.model)
    assert float((trained - before).abs().max()) > 0.01
    names = {path.name for path in (tmp_path / "run/last").iterdir()}
    assert names == {ADAPTER_FILE, "uwe.json"}
    loaded = UweModel.from_pretrained(tmp_path / "run/last", device="cpu")
    torch.testing.assert_close(embeddings(loaded), trained, rtol=1e-4, atol=1e-5)
    assert loaded.info.adapter_scale == LORA.scale


@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_weights_stay_and_the_others_move(family: str, tmp_path: Path) -> None:
    base = save_tiny_model(family, tmp_path / "base")
    config = tiny_config(freeze_embeddings=True, freeze_lowest_layers=1, weight_decay=0.5)
    trainer = tiny_trainer(base, tmp_path / "run", config)
    before = weights_of(trainer)
    trainer.run()
    moved = {name for name, weight in weights_of(trainer).items() if not torch.equal(weight, before[name])}
    assert not [name for name in moved if name.startswith("embeddings") or ".0." in name or "layers.0" in name]
    assert [name for name in moved if ".1." in name]


def test_frozen_layers_get_no_adapter(tmp_path: Path) -> None:
    backbone = tiny_model(save_tiny_model("bert", tmp_path)).encoder.backbone
    make_trainable(backbone, tiny_config(lora=LORA, freeze_lowest_layers=1))
    assert {name.split(".")[2] for name in lora_factors(backbone)} == {"1"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze_lowest_layers": 3}, "there are 2"),
        ({"freeze_lowest_layers": 2, "lora": LORA}, "there are 2"),
        ({"freeze_lowest_layers": 2, "freeze_embeddings": True}, "nothing is left"),
    ],
)
def test_freezing_too_much_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    backbone = tiny_model(save_tiny_model("bert", tmp_path)).encoder.backbone
    with pytest.raises(ConfigurationError, match=message):
        make_trainable(backbone, tiny_config(**changes))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_dropout_is_what_the_configuration_says(family: str, dropout: float, tmp_path: Path) -> None:
    model = tiny_model(save_tiny_model(family, tmp_path))
    encoder = Learner(model.encoder, tiny_config(dropout=dropout)).encoder
    assert encoder.backbone.training
    with torch.no_grad():
        one, other = (encoder.forward([[0, 7, 8, 2]])[0] for _ in range(2))
    assert torch.equal(one, other) == (dropout == 0)


def test_adapters_without_their_package_are_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    backbone = tiny_model(save_tiny_model("bert", tmp_path)).encoder.backbone
    with pytest.raises(ConfigurationError, match="adapters need peft"):
        make_trainable(backbone, tiny_config(lora=LORA))

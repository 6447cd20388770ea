"""Models by name, folder and hub id: what is loaded, saved and refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.fakes import FAMILIES, keep_weights, save_tiny_model, tiny_tokenizer
from uwe_core.builtin_models import EMBEDDED, MPNET
from uwe_core.errors import (
    ArtefactError,
    ChecksumError,
    ConfigurationError,
    DeviceError,
    FormatVersionError,
    MissingModelError,
)
from uwe_core.interaction import InteractionConfig
from uwe_core.model import CheckpointInfo, UweModel


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_saved_is_loaded_again(family: str, tmp_path: Path) -> None:
    model = UweModel.from_pretrained(save_tiny_model(family, tmp_path / "base"), device="cpu")
    interaction = InteractionConfig(kind="max_sim", query_reduction="mean")
    saved = model.with_interaction(interaction)
    saved.save_pretrained(tmp_path / "saved")
    loaded = UweModel.from_pretrained(tmp_path / "saved", device="cpu")
    assert loaded.interaction == interaction
    assert loaded.fingerprint == saved.fingerprint
    assert loaded.encoder.fingerprint == model.encoder.fingerprint
    assert loaded.fingerprint != model.fingerprint  # another interaction ranks otherwise
    texts = loaded.encoder.tokenise(["nurse", "weld metal"])
    torch.testing.assert_close(loaded.encoder.encode(texts).embeddings, model.encoder.encode(texts).embeddings)


def test_the_built_in_model_is_the_pinned_one_and_chose_its_temperature(embedded_model: UweModel) -> None:
    folder = EMBEDDED.package_folder()
    assert folder is not None
    EMBEDDED.verify(folder)
    assert embedded_model.interaction == InteractionConfig(interaction_temperature=20)
    assert sum(parameter.numel() for parameter in embedded_model.encoder.backbone.parameters()) == pytest.approx(
        22.6e6, rel=0.01
    )


@pytest.mark.parametrize("name", EMBEDDED.hashes)
def test_a_changed_file_of_the_built_in_model_is_noticed(name: str, tmp_path: Path) -> None:
    folder = EMBEDDED.package_folder()
    assert folder is not None
    for file in EMBEDDED.hashes:
        (tmp_path / file).symlink_to(folder / file)
    (tmp_path / name).unlink()
    with pytest.raises(MissingModelError, match=name):
        EMBEDDED.verify(tmp_path)
    (tmp_path / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(ChecksumError, match=name):
        EMBEDDED.verify(tmp_path)


def test_without_network_a_hub_model_says_what_to_do() -> None:
    for name in ("mpnet", "somebody/some-encoder"):
        with pytest.raises(MissingModelError, match="uwe model get"):
            UweModel.from_pretrained(name, device="cpu")


@pytest.mark.parametrize("name", ["nonsense", "./nowhere", "/no/where", "a/b/c"])
def test_a_name_that_is_nothing_is_a_clear_error(name: str) -> None:
    with pytest.raises(MissingModelError, match="embedded, mpnet"):
        UweModel.from_pretrained(name, device="cpu")


def test_weights_in_pickle_are_never_opened(tmp_path: Path) -> None:
    folder = save_tiny_model("bert", tmp_path / "model")
    weights = folder / "model.safetensors"
    torch.save({"code": "could run"}, folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ArtefactError):
        UweModel.from_pretrained(folder, device="cpu")


def cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])


def lose_a_layer(folder: Path) -> None:
    keep_weights(folder, lambda name: "layer.1." not in name)


def lose_the_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def take_a_larger_tokenizer(folder: Path) -> None:
    tiny_tokenizer([str(number) for number in range(99)]).save_pretrained(folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "config.json").write_text("{"),
        lambda folder: (folder / "config.json").write_text('{"model_type": "nonsense"}'),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "tokenizer.json").write_text("{"),
        cut_short,
        lose_a_layer,
        lose_the_tokenizer,
        take_a_larger_tokenizer,
    ],
)
def test_a_folder_that_is_not_a_whole_model_is_refused(damage: Callable[[Path], object], tmp_path: Path) -> None:
    folder = save_tiny_model("bert", tmp_path / "model")
    damage(folder)
    with pytest.raises(ArtefactError, match=re.escape(str(folder))):
        UweModel.from_pretrained(folder, device="cpu")


def test_nobody_is_asked_to_run_code_that_comes_with_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions: list[str] = []

    def no(question: str) -> str:
        questions.append(question)
        return "n"

    monkeypatch.setattr("builtins.input", no)
    folder = save_tiny_model("bert", tmp_path / "model")
    code = {"AutoConfig": "code.Config", "AutoModel": "code.Model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "nonsense", "auto_map": code}))
    with pytest.raises(ArtefactError):
        UweModel.from_pretrained(folder, device="cpu")
    assert questions == []


@pytest.mark.parametrize("news", [{}, {"news": 1}])
def test_a_checkpoint_of_another_version_or_broken_is_refused(news: dict[str, int], tmp_path: Path) -> None:
    folder = save_tiny_model("bert", tmp_path / "model")
    facts = json.loads(CheckpointInfo(interaction=InteractionConfig()).model_dump_json())
    (folder / "uwe.json").write_text(json.dumps({**facts, "format_version": 2, **news}))
    with pytest.raises(FormatVersionError):
        UweModel.from_pretrained(folder, device="cpu")
    (folder / "uwe.json").write_text(json.dumps({**facts, "surprise": 1}))
    with pytest.raises(ArtefactError, match="surprise"):
        UweModel.from_pretrained(folder, device="cpu")


def test_a_checkpoint_whose_facts_are_not_text_is_refused(tmp_path: Path) -> None:
    folder = save_tiny_model("bert", tmp_path / "model")
    (folder / "uwe.json").write_bytes(b'{"base": "\xff"}')
    with pytest.raises(ArtefactError, match=r"uwe\.json"):
        UweModel.from_pretrained(folder, device="cpu")


def test_a_device_that_is_absent_is_an_error_before_anything_is_read() -> None:
    with pytest.raises(DeviceError):
        UweModel.from_pretrained("nonsense", device="cuda:99")


def test_rounded_weights_are_not_saved(tmp_path: Path) -> None:
    folder = save_tiny_model("bert", tmp_path / "model")
    rounded = UweModel.from_pretrained(folder, device="cpu")
    rounded.encoder.backbone.bfloat16()
    with pytest.raises(ConfigurationError, match="float32"):
        rounded.save_pretrained(tmp_path / "saved")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failed_save_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = UweModel.from_pretrained(save_tiny_model("bert", tmp_path / "model"), device="cpu")
    model.save_pretrained(tmp_path / "saved")

    def disk_full(folder: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(model.encoder.tokenizer, "save_pretrained", disk_full)
    for name in ("saved", "new"):
        with pytest.raises(OSError, match="no space left"):
            model.with_interaction(InteractionConfig(kind="max_sim")).save_pretrained(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "saved"]
    assert UweModel.from_pretrained(tmp_path / "saved", device="cpu").fingerprint == model.fingerprint


def test_a_hub_style_folder_without_our_file_is_a_plain_encoder(tmp_path: Path) -> None:
    folder = save_tiny_model("mpnet", tmp_path / "model")
    assert UweModel.from_pretrained(folder, device="cpu").interaction == InteractionConfig()
    shutil.rmtree(folder)


@pytest.mark.mpnet
def test_the_papers_base_is_the_pinned_one(mpnet_dir: Path) -> None:
    MPNET.verify(mpnet_dir)
    model = UweModel.from_pretrained(mpnet_dir, device="cpu")
    assert (model.encoder.max_tokens, model.encoder.dim) == (512, 768)
    assert model.interaction == MPNET.interaction

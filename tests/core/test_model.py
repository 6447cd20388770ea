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
from uwe_core.backends.interface import Int8Backend
from uwe_core.builtin_models import BUILTIN_MODELS, EMBEDDED, EMBEDDED_BASE, MPNET, MPNET_BASE, BuiltinModel
from uwe_core.errors import (
    ArtefactError,
    ChecksumError,
    ConfigurationError,
    DeviceError,
    FormatVersionError,
    MissingModelError,
)
from uwe_core.home import fetched_model
from uwe_core.interaction import InteractionConfig
from uwe_core.model import CheckpointInfo, UweModel, read_checkpoint_info


def packaged(model: BuiltinModel) -> Path:
    folder = model.package_folder()
    assert folder is not None
    return folder


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


@pytest.mark.parametrize("model", [EMBEDDED, EMBEDDED_BASE, MPNET], ids=lambda model: model.name)
def test_what_is_in_packages_is_what_was_pinned(model: BuiltinModel) -> None:
    model.verify(packaged(model))


def test_a_trained_model_is_its_base_with_other_weights(embedded_model: UweModel, embedded_base: UweModel) -> None:
    assert embedded_model.info.base == EMBEDDED_BASE.name
    assert embedded_base.interaction == InteractionConfig(interaction_temperature=20)
    trained, base = embedded_model.encoder.backbone.state_dict(), embedded_base.encoder.backbone.state_dict()
    changed = {name for name in base if not torch.equal(trained[name], base[name])}
    assert changed
    assert all(name.startswith("encoder.layer.") and name.endswith(".weight") for name in changed)
    assert sum(weight.numel() for weight in base.values()) == pytest.approx(22.6e6, rel=0.01)


@pytest.mark.parametrize("model", [EMBEDDED, MPNET], ids=lambda model: model.name)
def test_an_adapter_of_ours_is_small_and_says_what_it_saw(model: BuiltinModel) -> None:
    folder = packaged(model)
    info = read_checkpoint_info(folder)
    assert (folder / "adapter.safetensors").stat().st_size < 12e6
    assert info is not None
    assert info.base in BUILTIN_MODELS
    assert "esco-skills" in info.seen_spaces


@pytest.mark.parametrize("name", EMBEDDED_BASE.hashes)
def test_a_changed_file_of_a_built_in_model_is_noticed(name: str, tmp_path: Path) -> None:
    folder = packaged(EMBEDDED_BASE)
    for file in EMBEDDED_BASE.hashes:
        (tmp_path / file).symlink_to(folder / file)
    (tmp_path / name).unlink()
    with pytest.raises(MissingModelError, match=name):
        EMBEDDED_BASE.verify(tmp_path)
    (tmp_path / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(ChecksumError, match=name):
        EMBEDDED_BASE.verify(tmp_path)


def test_without_network_a_hub_model_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UWE_HOME", str(tmp_path))
    for name in ("mpnet", "mpnet-base", "somebody/some-encoder"):
        with pytest.raises(MissingModelError, match="uwe model get"):
            UweModel.from_pretrained(name, device="cpu")


def test_a_fetched_model_goes_by_its_name_and_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UWE_HOME", str(tmp_path))
    save_tiny_model("mpnet", fetched_model(MPNET_BASE.name))
    with pytest.raises(ChecksumError, match=re.escape("model.safetensors")):
        UweModel.from_pretrained("mpnet", device="cpu")


@pytest.mark.parametrize("name", ["nonsense", "./nowhere", "/no/where", "a/b/c"])
def test_a_name_that_is_nothing_is_a_clear_error(name: str) -> None:
    with pytest.raises(MissingModelError, match="embedded, embedded-base, mpnet, mpnet-base"):
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
    MPNET_BASE.verify(mpnet_dir)
    model = UweModel.from_pretrained(mpnet_dir, device="cpu")
    assert (model.encoder.max_tokens, model.encoder.dim) == (512, 768)
    assert model.interaction == MPNET_BASE.interaction


@pytest.mark.parametrize(
    ("costs", "cheap"),
    [
        ({}, ()),
        ({"onnx": {}}, ()),  # nothing was measured of it
        ({"onnx": {"job2skill": 0.1}, "openvino": {"job2skill": -0.2, "jobnorm": 0.11}}, ("onnx",)),
        ({"onnx": {"job2skill": 1.0}, "openvino": {"job2skill": -0.01}}, ("openvino",)),
    ],
)
def test_int8_is_cheap_where_it_was_measured_to_be(
    costs: dict[Int8Backend, dict[str, float]], cheap: tuple[str, ...]
) -> None:
    info = CheckpointInfo(interaction=InteractionConfig(), int8_costs=costs)
    assert info.cheap_int8 == cheap
    assert CheckpointInfo.model_validate_json(info.model_dump_json()) == info
    assert ("int8_costs" in json.loads(info.model_dump_json())) == bool(costs)


def test_what_int8_costs_is_forgotten_where_the_scores_are_others(tmp_path: Path) -> None:
    plain = UweModel.from_pretrained(save_tiny_model("bert", tmp_path / "plain"), device="cpu")
    assert plain.info.cheap_int8 == ()
    info = plain.info.model_copy(update={"int8_costs": {"onnx": {"job2skill": 0.0}}})
    UweModel(plain.encoder, info).save_pretrained(tmp_path / "measured")
    loaded = UweModel.from_pretrained(tmp_path / "measured", device="cpu")
    assert loaded.info.cheap_int8 == ("onnx",)
    assert loaded.with_interaction(loaded.interaction).info.cheap_int8 == ("onnx",)
    assert loaded.with_interaction(InteractionConfig(kind="max_sim")).info.cheap_int8 == ()

"""The token index: what it holds, that it is really mapped, and that it refuses whatever does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
import torch

from tests.fakes import TINY_LIMIT, random_index, save_tiny_model
from uwe_core import token_index
from uwe_core.encoder import TokenEncoder
from uwe_core.errors import ArtefactError, ChecksumError, FingerprintError, FormatVersionError
from uwe_core.model import UweModel
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.token_index import StorageType, TokenIndex, index_folder, open_or_build

TEXTS = ["take blood pressure", "nurse", "weld metal", "baker", "bake bread for people, a lot"]
SPACE = TargetSpace(SpaceInfo(name="tiny"), ["a", "b", "c", "d", "e"], TEXTS)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TokenEncoder:
    folder = save_tiny_model("bert", tmp_path_factory.mktemp("model") / "bert")
    return UweModel.from_pretrained(folder, device="cpu").encoder


# Half a unit in the last place of each type, and what another composition of the batch changes.
PRECISION: dict[StorageType, float] = {"float32": 1e-5, "bfloat16": 2**-8, "float16": 2**-11, "int8": 0}


@pytest.mark.parametrize("dtype", get_args(StorageType))
def test_it_holds_the_tokens_of_every_target_and_survives_the_disk(
    encoder: TokenEncoder, dtype: StorageType, tmp_path: Path
) -> None:
    built = TokenIndex.build(encoder, SPACE, dtype)
    built.save(tmp_path / "index")
    opened = TokenIndex.open(tmp_path / "index")
    opened.check_fits(encoder, SPACE)
    assert opened.fingerprint == built.fingerprint
    bounds = opened.offsets.tolist()
    for stored, target in enumerate(opened.order.tolist()):
        expected = encoder.encode(encoder.tokenise([TEXTS[target]])).embeddings
        rows = slice(bounds[stored], bounds[stored + 1])
        half_step = 0.0 if opened.scales is None else float(opened.scales[rows].max()) / 2
        read = opened.floats()[rows]
        torch.testing.assert_close(read, expected, rtol=PRECISION[dtype], atol=1e-5 + half_step)
        norms = read.norm(dim=1)
        torch.testing.assert_close(opened.inverse_norms[rows], 1 / norms)


def test_an_index_of_tokens_that_are_there_is_the_one_that_is_built(encoder: TokenEncoder) -> None:
    tokenised = encoder.tokenise(TEXTS)
    made, built = (
        TokenIndex.of_tokens(encoder, SPACE, list(encoder.encode(tokenised))),
        TokenIndex.build(encoder, SPACE),
    )
    made.check_fits(encoder, SPACE)
    assert made.manifest == built.manifest
    for found, expected in zip(made._tensors().values(), built._tensors().values(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_opening_maps_the_file_instead_of_reading_it(tmp_path: Path) -> None:
    random_index([3] * 20_000, dim=64).save(tmp_path / "index")
    opened = TokenIndex.open(tmp_path / "index", verify=False)
    assert opened.nbytes > 15_000_000
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("tokens.safetensors")]
    assert mapped
    first, last = (int(bound, 16) for bound in mapped[0].split()[0].split("-"))
    assert first <= opened.embeddings.data_ptr() < last


def test_progress_reaches_the_total_and_cut_targets_are_counted(encoder: TokenEncoder) -> None:
    steps: list[tuple[int, int]] = []
    space = TargetSpace(SpaceInfo(name="long"), ["1", "2"], ["a", "b " * TINY_LIMIT])
    index = TokenIndex.build(encoder, space, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (2, 2)
    assert index.manifest.truncated_targets == 1


@pytest.mark.parametrize("place", [0, 20, 200, -1])
def test_a_flipped_byte_is_noticed_wherever_it_is(place: int, tmp_path: Path) -> None:
    random_index([1, 2]).save(tmp_path / "index")
    path = tmp_path / "index/tokens.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ChecksumError):
        TokenIndex.open(tmp_path / "index")


@pytest.mark.parametrize("name", ["index.json", "tokens.safetensors"])
def test_a_missing_file_is_a_clear_error(name: str, tmp_path: Path) -> None:
    random_index([1, 2]).save(tmp_path / "index")
    (tmp_path / "index" / name).unlink()
    with pytest.raises(ArtefactError, match=name):
        TokenIndex.open(tmp_path / "index")


def test_a_file_cut_short_is_a_clear_error_even_unverified(tmp_path: Path) -> None:
    random_index([1, 2]).save(tmp_path / "index")
    path = tmp_path / "index/tokens.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ArtefactError, match="cannot be read"):
        TokenIndex.open(tmp_path / "index", verify=False)


@pytest.mark.parametrize("lie", [{"targets": 3}, {"tokens": 4}, {"dim": 9}])
def test_tensors_that_the_manifest_does_not_describe_are_refused(lie: dict[str, int], tmp_path: Path) -> None:
    random_index([1, 2]).save(tmp_path / "index")
    path = tmp_path / "index/index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **lie}))
    with pytest.raises(ArtefactError, match="does not hold"):
        TokenIndex.open(tmp_path / "index")


def test_a_manifest_that_is_not_text_is_a_clear_error(tmp_path: Path) -> None:
    random_index([1, 2]).save(tmp_path / "index")
    (tmp_path / "index/index.json").write_bytes(b'{"space": "\xff"}')
    with pytest.raises(ArtefactError, match=r"index\.json"):
        TokenIndex.open(tmp_path / "index")


@pytest.mark.parametrize("news", [{}, {"news": 1}])
def test_another_format_version_is_refused(news: dict[str, int], tmp_path: Path) -> None:
    random_index([1, 2]).save(tmp_path / "index")
    path = tmp_path / "index/index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 99, **news}))
    with pytest.raises(FormatVersionError, match="99"):
        TokenIndex.open(tmp_path / "index")


def test_another_model_or_other_texts_are_refused_by_name(encoder: TokenEncoder, tmp_path: Path) -> None:
    index = TokenIndex.build(encoder, SPACE)
    other = UweModel.from_pretrained(save_tiny_model("bert", tmp_path / "other", seed=1), device="cpu").encoder
    with pytest.raises(FingerprintError, match="another model"):
        index.check_fits(other, SPACE)
    changed = TargetSpace(SPACE.info, SPACE.ids, [*TEXTS[:-1], "bake bread"])
    with pytest.raises(FingerprintError, match="other texts"):
        index.check_fits(encoder, changed)


def test_a_finished_index_is_reused_and_a_broken_one_built_again(
    encoder: TokenEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    steps: list[int] = []

    def count(done: int, total: int) -> None:
        steps.append(done)

    first = open_or_build(tmp_path, encoder, SPACE, progress=count)
    assert steps
    steps.clear()
    assert open_or_build(tmp_path, encoder, SPACE, progress=count).fingerprint == first.fingerprint
    assert not steps
    (index_folder(tmp_path, encoder, SPACE, "float32") / "tokens.safetensors").write_bytes(b"rubbish")
    again = open_or_build(tmp_path, encoder, SPACE, progress=count)
    assert steps
    assert "again" in caplog.text
    torch.testing.assert_close(again.embeddings, TokenIndex.build(encoder, SPACE).embeddings)


def test_a_run_that_dies_leaves_no_index(
    encoder: TokenEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(token_index, "save_file", disk_full)
    with pytest.raises(OSError, match="no space left"):
        open_or_build(tmp_path, encoder, SPACE)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

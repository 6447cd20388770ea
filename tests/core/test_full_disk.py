"""A disk without room leaves everything as it was, and the error names what could not be written."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from tests.core.candidates.clustered import clustered_index
from tests.fakes import random_index, save_tiny_model
from tests.full_disks import KINDS, NoRoom, disk, files_in
from uwe_core.backends import export_cache
from uwe_core.errors import DataError, DiskFullError
from uwe_core.files import atomic_file, atomic_folder, locked, room_for, write_text
from uwe_core.model import UweModel
from uwe_core.scoring.candidates.candidate_index import CandidateIndex
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.trainer.lora import inject_lora
from uwe_core.trainer.run_folder import save_checkpoint
from uwe_core.trainer.train_config import LoraSettings

# Writes one of two contents under a name.
Write = Callable[[Path, int], None]


def words(seed: int, count: int) -> list[str]:
    drawn = random.Random(seed)
    return [f"{drawn.getrandbits(128):x} {number}" for number in range(count)]


def write_words(path: Path, number: int) -> None:
    write_text(path, "\n".join(words(number, 5_000)))


def write_table(path: Path, number: int) -> None:
    with atomic_file(path) as aside:
        pq.write_table(pa.table({"text": words(number, 5_000)}), aside)


def write_space(path: Path, number: int) -> None:
    texts = words(number, 2_000)
    TargetSpace(SpaceInfo(name="courses"), texts, texts).save(path)


def write_index(path: Path, number: int) -> None:
    random_index([3] * 1_000, seed=number).save(path)


def write_candidates(path: Path, number: int) -> None:
    CandidateIndex.build(clustered_index(1_000 + number)).save(path)


def write_model(path: Path, number: int, lora: LoraSettings | None, base: Path) -> None:
    model = UweModel.from_pretrained(base, device="cpu")
    if lora is not None:
        inject_lora(model.encoder.backbone, lora)
    with torch.no_grad():
        for parameter in model.encoder.backbone.parameters():
            parameter.add_(number)
    save_checkpoint(model, lora, path, "card\n")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model("bert", tmp_path_factory.mktemp("model") / "base")


WRITERS: dict[str, Write] = {
    "text": write_words,
    "table": write_table,
    "space": write_space,
    "index": write_index,
    "candidates": write_candidates,
}


@pytest.fixture(params=[*WRITERS, "model", "adapter"])
def write(request: pytest.FixtureRequest, base: Path) -> Write:
    if request.param in WRITERS:
        return WRITERS[request.param]
    return partial(write_model, lora=LoraSettings(rank=16) if request.param == "adapter" else None, base=base)


@pytest.fixture(params=KINDS)
def no_room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NoRoom]:
    with disk(request.param, tmp_path / "disk") as found:
        yield found


def test_what_was_there_stays_whole_and_room_is_all_that_is_needed(
    write: Write, no_room: NoRoom, tmp_path: Path
) -> None:
    destination = tmp_path / "disk" / "made"
    write(destination, 0)
    old = files_in(tmp_path / "disk")
    with no_room(), pytest.raises(DiskFullError, match=r"/made cannot be written: (the disk is full|a file may not)"):
        write(destination, 1)
    assert files_in(tmp_path / "disk") == old
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["made"]  # no empty folders either
    write(destination, 1)
    new = files_in(tmp_path / "disk")
    assert new.keys() == old.keys()
    assert new != old


def test_where_nothing_was_nothing_is(write: Write, no_room: NoRoom, tmp_path: Path) -> None:
    with no_room(), pytest.raises(DiskFullError, match="/made cannot"):
        write(tmp_path / "disk" / "made", 0)
    assert list((tmp_path / "disk").iterdir()) == []


def test_an_export_that_found_no_room_is_made_again(no_room: NoRoom, tmp_path: Path) -> None:
    key = export_cache.ExportKey("f", "onnx", "float32", "1", ())

    def export() -> Path:
        weights = {"weights": torch.ones(10_000)}
        return export_cache.open_or_export(tmp_path / "disk", key, lambda aside: save_file(weights, aside / "model"))

    with no_room(), pytest.raises(DiskFullError, match=str(key.folder(tmp_path / "disk"))):
        export()
    assert files_in(tmp_path / "disk") == {}
    assert {path.name for path in export().iterdir()} == {"model", "export.json"}


def test_a_lock_for_which_there_is_no_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DiskFullError, match=r"/\.lock cannot"), locked(tmp_path / "spaces" / ".lock"):
        pytest.fail("the block was entered without the lock")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_way_to_have_no_room_is_told_apart(code: int) -> None:
    reasons = set()
    words_of_others = f"some library: {os.strerror(code)} (os error {code})"
    for error in (OSError(code, os.strerror(code)), RuntimeError(words_of_others)):
        with pytest.raises(DiskFullError) as raised, room_for(Path("index")):
            raise error
        assert raised.value.__cause__ is error
        reasons.add(raised.value.reason)
    assert len(reasons) == 1


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), DataError("a", 1, "no"), RuntimeError("no"), OSError()])
def test_other_errors_stay_what_they_are(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as raised, atomic_folder(tmp_path / "made"):
        raise error
    assert raised.value is error

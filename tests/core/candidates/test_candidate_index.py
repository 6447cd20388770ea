"""The candidate index on disk: bound to its token index, whole or not there, built again where it cannot be used."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from tests.core.candidates.clustered import clustered_index, clustered_queries
from uwe_core.errors import ArtefactError, ChecksumError, ConfigurationError, FingerprintError, FormatVersionError
from uwe_core.scoring.candidates import (
    CandidateConfig,
    CandidateIndex,
    CandidateKind,
    candidate_folder,
    load_faiss,
    open_or_build_candidates,
)
from uwe_core.token_index import TokenIndex

pytest.importorskip("faiss", reason="the extra [ann] is not installed")


@pytest.fixture(scope="module")
def index() -> TokenIndex:
    return clustered_index(200)


@pytest.fixture
def folder(index: TokenIndex, tmp_path: Path) -> Path:
    CandidateIndex.build(index).save(tmp_path / "saved")
    return tmp_path / "saved"


def change_facts(folder: Path, **news: object) -> None:
    path = folder / "candidates.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **news}))


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_it_survives_the_disk(index: TokenIndex, tmp_path: Path, kind: CandidateKind) -> None:
    vectors = clustered_queries([3, 4]).means()
    built = CandidateIndex.build(index, kind)
    built.save(tmp_path / "saved")
    opened = CandidateIndex.open(tmp_path / "saved", index, kind)
    for before, after in zip(built.propose(vectors, 20), opened.propose(vectors, 20), strict=True):
        assert torch.equal(before, after)
        assert len(after) == 20


def test_more_than_there_are_can_be_asked_for(index: TokenIndex) -> None:
    (found,) = CandidateIndex.build(index, "ivf").propose(clustered_queries([3]).means(), 10_000)
    assert found.tolist() == list(range(200))


def test_another_format_version_is_refused(index: TokenIndex, folder: Path) -> None:
    change_facts(folder, format_version=99, news=1)
    with pytest.raises(FormatVersionError, match="99"):
        CandidateIndex.open(folder, index)


def test_one_of_another_token_index_or_of_other_settings_is_refused(index: TokenIndex, folder: Path) -> None:
    with pytest.raises(FingerprintError, match="another token index"):
        CandidateIndex.open(folder, clustered_index(200, "bfloat16"))
    with pytest.raises(FingerprintError, match="other settings"):
        CandidateIndex.open(folder, index, "ivf")


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_flipped_byte_is_noticed_before_faiss_sees_it(index: TokenIndex, folder: Path, place: int) -> None:
    content = bytearray((folder / "candidates.faiss").read_bytes())
    content[place] ^= 1
    (folder / "candidates.faiss").write_bytes(content)
    with pytest.raises(ChecksumError):
        CandidateIndex.open(folder, index)


@pytest.mark.parametrize("name", ["candidates.json", "candidates.faiss"])
def test_a_missing_file_is_a_clear_error(index: TokenIndex, folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ArtefactError, match=name):
        CandidateIndex.open(folder, index)


def test_what_another_version_of_faiss_wrote_is_a_clear_error(index: TokenIndex, folder: Path) -> None:
    import hashlib

    (folder / "candidates.faiss").write_bytes(b"news" * 100)
    change_facts(folder, checksums={"candidates.faiss": hashlib.sha256(b"news" * 100).hexdigest()})
    with pytest.raises(ArtefactError, match="cannot be read"):
        CandidateIndex.open(folder, index)


def test_a_finished_one_is_reused_and_a_broken_one_built_again(
    index: TokenIndex, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_or_build_candidates(tmp_path, index)
    file = candidate_folder(tmp_path, index, "hnsw") / "candidates.faiss"
    written = file.stat().st_mtime_ns
    open_or_build_candidates(tmp_path, index)
    assert file.stat().st_mtime_ns == written
    file.write_bytes(b"rubbish")
    again = open_or_build_candidates(tmp_path, index)
    assert "again" in caplog.text
    assert len(again) == len(CandidateIndex.open(file.parent, index)) == 200


def test_without_faiss_the_extra_is_named(index: TokenIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigurationError, match=r"\[ann\]"):
        CandidateIndex.build(index)
    with pytest.raises(ConfigurationError, match=r"\[ann\]"):
        load_faiss()


def test_a_number_stands_for_a_count() -> None:
    read = TypeAdapter(dict[str, CandidateConfig]).validate_python
    assert read({"a": 500, "b": "70", "c": {"count": 9, "kind": "ivf"}, "d": {}}) == {
        "a": CandidateConfig(count=500),
        "b": CandidateConfig(count=70),
        "c": CandidateConfig(count=9, kind="ivf"),
        "d": CandidateConfig(count=1000),
    }
    for wrong in (0, True, "many", {"count": 1, "kind": "flat"}):
        with pytest.raises(ValidationError):
            read({"a": wrong})

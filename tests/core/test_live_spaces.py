"""Live spaces on disk: whatever happens, the pointer names a whole version."""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from uwe_core.catalogue import SpaceCatalogue
from uwe_core.errors import ArtefactError, ConflictError, UnknownSpaceError
from uwe_core.live_spaces import LiveSpaceStore, version_of
from uwe_core.target_space import SpaceInfo, TargetSpace


def space_of(*texts: str, **facts: str) -> TargetSpace:
    ids = [f"{number}" for number in range(len(texts))]
    return TargetSpace(SpaceInfo(name="courses", **facts), ids, texts)


@pytest.fixture
def store(tmp_path: Path) -> LiveSpaceStore:
    return SpaceCatalogue(tmp_path).live_spaces


def publish(store: LiveSpaceStore, space: TargetSpace) -> None:
    """As the service does it, with an index that is nothing but its manifest."""
    folder = store.indexes / "courses" / version_of(space)
    facts = (
        '{"space":"courses","encoder_fingerprint":"e","space_fingerprint":"%s","dtype":"int8","dim":1,"targets":1,'
        '"tokens":1,"truncated_targets":0,"checksums":{}}'
    )

    def finish() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.json").write_text(facts % space.fingerprint)

    store.publish(space, finish)


def versions(store: LiveSpaceStore) -> set[str]:
    return {path.name for path in (store.root / "courses").iterdir() if path.is_dir()}


def indexes(store: LiveSpaceStore) -> set[str]:
    return {path.name for path in (store.indexes / "courses").iterdir()}


def test_the_live_version_and_the_one_before_are_kept_with_their_indexes(store: LiveSpaceStore) -> None:
    first, second, third = space_of("nurse"), space_of("nurse", "baker"), space_of("baker")
    names = [version_of(space) for space in (first, second, third)]
    for space in (first, second, third):
        publish(store, space)
    pointer = store.pointer("courses")
    assert pointer is not None
    assert (pointer.live, pointer.previous) == (names[2], names[1])
    assert versions(store) == indexes(store) == set(names[1:])
    assert (store.open("courses").texts, store.open("courses", names[1]).texts) == (["baker"], ["nurse", "baker"])
    store.forget_previous("courses")
    assert versions(store) == indexes(store) == {names[2]}
    publish(store, third)
    pointer = store.pointer("courses")
    assert pointer is not None
    assert (pointer.live, pointer.previous) == (names[2], None)
    store.delete("courses")
    assert store.names() == []
    assert indexes(store) == set()
    assert not (store.root / "courses").exists()


def test_versions_of_the_same_texts_share_their_index(store: LiveSpaceStore) -> None:
    first, second = space_of("nurse"), space_of("nurse", licence="CC0-1.0")
    assert version_of(first) != version_of(second)
    assert version_of(first) != version_of(TargetSpace(first.info, ["0"], ["nurse"], pa.table({"a": [1]})))
    publish(store, first)
    publish(store, second)
    store.forget_previous("courses")
    assert versions(store) == {version_of(second)}
    assert indexes(store) == {version_of(first), version_of(second)}  # both manifests name the texts that are live


def test_an_error_at_the_end_leaves_the_old_version_and_nothing_else_after_a_sweep(store: LiveSpaceStore) -> None:
    publish(store, space_of("nurse"))

    def fail() -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        store.publish(space_of("baker"), fail)
    assert store.open("courses").texts == ["nurse"]
    (store.root / "courses" / ".half.part").mkdir()
    store.sweep()
    assert versions(store) == {version_of(space_of("nurse"))}


def test_a_change_of_a_version_that_is_not_live_any_more_is_refused(store: LiveSpaceStore) -> None:
    publish(store, space_of("nurse"))
    with pytest.raises(ConflictError, match="by another process"):
        store.publish(space_of("baker"), lambda: None, onto="0" * 16)
    assert store.open("courses").texts == ["nurse"]


def test_a_broken_pointer_is_told_of_and_nothing_is_swept(store: LiveSpaceStore) -> None:
    publish(store, space_of("nurse"))
    store.pointer_file("courses").write_text('{"live": "../../etc"}')
    with pytest.raises(ArtefactError):
        store.open("courses")
    store.sweep()
    assert versions(store) == {version_of(space_of("nurse"))}


def test_the_catalogue_knows_uploaded_spaces_and_they_hide_nothing(tmp_path: Path, store: LiveSpaceStore) -> None:
    publish(store, space_of("nurse"))
    catalogue = SpaceCatalogue(tmp_path)
    assert catalogue.uploaded == {"courses"}
    assert catalogue.open("courses").texts == ["nurse"]
    assert catalogue.facts_file("courses") == store.pointer_file("courses")
    shutil.move(tmp_path / "spaces" / "courses", tmp_path / "spaces" / "sample-skills")
    hidden = SpaceCatalogue(tmp_path)
    assert hidden.uploaded == frozenset()
    assert len(hidden.open("sample-skills")) > 1
    with pytest.raises(UnknownSpaceError):
        hidden.open("courses")


class Killed(BaseException):
    """The process is dead: from here on nothing reaches the disk, cleaning up included."""


_life = threading.local()
_TOUCHING_FILES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree")


def _die_in_time(event: str, _: object) -> None:
    left = getattr(_life, "left", None)
    if left is not None and event in _TOUCHING_FILES:
        if left == 0:
            raise Killed
        _life.left = left - 1


@pytest.fixture(scope="module", autouse=True)
def mortality() -> None:
    sys.addaudithook(_die_in_time)  # cannot be removed; it does nothing while nobody is to die


@pytest.mark.parametrize("change", ["publish", "forget_previous", "delete"])
def test_a_crash_at_any_moment_leaves_the_old_or_the_new_version(change: str, tmp_path: Path) -> None:
    before, old, new = space_of("nurse"), space_of("nurse", "baker"), space_of("baker", "welder", "nurse")
    seen = set()
    for moment in range(1000):
        store = SpaceCatalogue(tmp_path / f"{moment}").live_spaces
        publish(store, before)
        publish(store, old)
        _life.left = moment
        try:
            if change == "publish":
                publish(store, new)
            else:
                getattr(store, change)("courses")
            died = False
        except Killed:
            died = True
        finally:
            _life.left = None
        store.sweep()  # what the next start does
        pointer = store.pointer("courses")
        if pointer is None:
            assert change == "delete"
            assert not (store.root / "courses").exists()
            assert indexes(store) == set()
            seen.add("gone")
        else:
            kept = {pointer.live, pointer.previous} - {None}
            assert versions(store) == kept
            assert kept <= indexes(store)
            live = tuple(store.open("courses").texts)
            assert live in (old.texts, new.texts)
            seen.add("new" if live == new.texts else "old")
        shutil.rmtree(tmp_path / f"{moment}")
        if not died:
            break
    assert moment > 5
    assert seen == {"publish": {"old", "new"}, "forget_previous": {"old"}, "delete": {"old", "gone"}}[change]

"""LiveSpaceStore: target spaces that are changed while they are served, on disk: always the old or the new version."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from uwe_core.errors import ArtefactError, ConflictError
from uwe_core.facts import read_facts
from uwe_core.files import locked, write_text
from uwe_core.target_space import TargetSpace, is_space_name, read_space_file
from uwe_core.token_index import INDEX_FORMAT, MANIFEST_FILE, IndexManifest

logger = logging.getLogger(__name__)

LIVE_FORMAT = 1
POINTER_FILE = "live.json"
_LOCK_FILE = ".lock"
_GONE = ".gone"
# What a killed process was writing; others may be writing there now, but none for so long.
_ABANDONED_SECONDS = 3600.0
_VERSION = r"^[0-9a-f]{16}$"


class LivePointer(BaseModel):
    """`live.json`: which version of a space is live. Replacing this file is the moment in which a version changes.

    Attributes:
        live, previous: names of folders beside the file.
        changed: when `live` became so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = LIVE_FORMAT
    live: str = Field(pattern=_VERSION)
    previous: str | None = Field(default=None, pattern=_VERSION)
    changed: AwareDatetime


@dataclass(frozen=True)
class LiveSpaceStore:
    """`HOME/spaces`: a folder for each space, in it a folder for each version, and the pointer to the live one.

    A version counts from the moment the pointer names it, and the pointer is written when all else is on disk: a
    process that is killed leaves the old version or the new one. What no pointer names is swept away.

    Attributes:
        root: the folder of all these spaces.
        indexes: the folder of all token indexes.
    """

    root: Path
    indexes: Path

    def names(self) -> list[str]:
        """The spaces that have a live version, sorted."""
        found = (path.parent.name for path in self.root.glob(f"*/{POINTER_FILE}"))
        return sorted(name for name in found if is_space_name(name))

    def pointer_file(self, name: str) -> Path:
        """Where the pointer of a space lies."""
        return self.root / name / POINTER_FILE

    def pointer(self, name: str) -> LivePointer | None:
        """Which version is live; None where there is no such space.

        Raises:
            ArtefactError: the file is broken.
        """
        path = self.pointer_file(name)
        return read_facts(path, LivePointer, LIVE_FORMAT) if path.exists() else None

    def open(self, name: str, version: str | None = None) -> TargetSpace:
        """Read a version of a space, the live one where None.

        Raises:
            ArtefactError: there is none, or it is broken.
        """
        if version is None:
            version = read_facts(self.pointer_file(name), LivePointer, LIVE_FORMAT).live
        return TargetSpace.open(self.root / name / version)

    def publish(self, space: TargetSpace, finish: Callable[[], None], onto: str | None = None) -> LivePointer:
        """Make a version of a space the live one.

        Args:
            space: the version.
            finish: writes everything else that it needs; called before the pointer is written, and an error that it
                raises leaves the old version live.
            onto: the version that must be live still; None is any, or none.

        Raises:
            ConflictError: another version has become live.
            DiskFullError: there is no room for it; what was written of it is removed.
        """
        name, version = space.info.name, version_of(space)
        with self._writing():
            before = self.pointer(name)
            if onto is not None and (before is None or before.live != onto):
                raise ConflictError(f"the space '{name}' was changed by another process meanwhile: send it again")
            previous = None if before is None else before.live if before.live != version else before.previous
            try:
                if not (self.root / name / version).exists():
                    space.save(self.root / name / version)
                finish()
                pointer = LivePointer(live=version, previous=previous, changed=datetime.now(UTC))
                self._write(name, pointer)
            finally:
                if (self.root / name).is_dir():
                    self._sweep(name)  # of a version that did not become live, too: it would take room for nothing
        return pointer

    def forget_previous(self, name: str) -> None:
        """Keep the version that was live before no longer."""
        with self._writing():
            pointer = self.pointer(name)
            if pointer is not None and pointer.previous is not None:
                self._write(name, pointer.model_copy(update={"previous": None}))
            self._sweep(name)

    def delete(self, name: str) -> None:
        """Remove a space with all versions and their token indexes; its pointer goes first."""
        with self._writing():
            self.pointer_file(name).unlink(missing_ok=True)
            self._sweep(name)

    def sweep(self) -> None:
        """Remove what a process that was killed has left behind."""
        if not self.root.is_dir():
            return
        with self._writing():
            for folder in sorted(self.root.iterdir()):
                if folder.is_dir() and is_space_name(folder.name):
                    self._sweep(folder.name)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Nobody else writes here, in this process or in another one."""
        with locked(self.root / _LOCK_FILE):
            yield

    def _write(self, name: str, pointer: LivePointer) -> None:
        write_text(self.pointer_file(name), pointer.model_dump_json(indent=2) + "\n")

    def _sweep(self, name: str) -> None:
        """Remove the versions of a space that its pointer does not name, and then their token indexes."""
        try:
            pointer = self.pointer(name)
        except ArtefactError as error:  # somebody must look at it; until then nothing is lost
            logger.warning("%s", error)
            return
        folder = self.root / name
        kept = set() if pointer is None else {pointer.live, pointer.previous}
        unused = [path for path in folder.iterdir() if path.name != POINTER_FILE and path.name not in kept]
        gone = {found for path in unused if (found := _texts_of(path)) is not None}
        still_used = {_texts_of(folder / version) for version in kept if version is not None}
        self._remove_indexes(name, gone - still_used)
        for path in unused:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if pointer is None:
            shutil.rmtree(folder, ignore_errors=True)

    def _remove_indexes(self, name: str, texts: set[str]) -> None:
        """Remove the token indexes of some texts, and the candidate indexes beside them, made by whatever model."""
        folder = self.indexes / name
        unused = {found.fingerprint: path for path, found in _manifests(folder) if found.space_fingerprint in texts}
        for facts_file in folder.glob("candidates-*/*.json") if unused else ():
            if any(fingerprint in facts_file.read_text(encoding="utf-8") for fingerprint in unused):
                _remove(facts_file.parent)
        for path in unused.values():
            _remove(path)
        for left in folder.glob(".*"):
            forgotten = left.suffix == ".part" and time.time() - left.stat().st_mtime > _ABANDONED_SECONDS
            if forgotten or left.suffix == _GONE:
                shutil.rmtree(left, ignore_errors=True)


def _manifests(folder: Path) -> Iterator[tuple[Path, IndexManifest]]:
    """The token indexes in a folder, of whatever model."""
    for file in folder.glob(f"[!.]*/{MANIFEST_FILE}"):
        try:
            yield file.parent, read_facts(file, IndexManifest, INDEX_FORMAT)
        except ArtefactError:  # a candidate index, or one of another release
            continue


def _remove(folder: Path) -> None:
    """Remove an index: its name goes first, so that a process that is killed leaves nothing that looks like one."""
    gone = folder.with_name(f".{folder.name}{_GONE}")
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def version_of(space: TargetSpace) -> str:
    """The name of a version: a content hash of everything that a space is, 16 hexadecimal digits."""
    parts = f"{space.info.model_dump_json(exclude_none=True)} {space.fingerprint} {space.metadata_fingerprint}"
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _texts_of(folder: Path) -> str | None:
    """The fingerprint of a version's texts; None where the folder is no whole version."""
    try:
        return read_space_file(folder).fingerprint
    except ArtefactError:
        return None

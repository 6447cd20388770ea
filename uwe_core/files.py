"""Files that are either whole or not there: hashes, and folders written aside and renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uwe_core.errors import DiskFullError

_NO_ROOM = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file may not be that large here",
}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Around what writes a file or a folder, in whatever library: an error of a disk without room names it.

    Raises:
        DiskFullError: there is no room.
    """
    try:
        yield
    except Exception as error:
        reason = _lack_of_room(error)
        if reason is None:
            raise
        raise DiskFullError(path, reason) from error


def _lack_of_room(error: Exception) -> str | None:
    """What there is too little of, or None where the error is about something else."""
    if isinstance(error, OSError):
        if error.errno is None and " requested and " in str(error):  # numpy's words for a write that was cut short
            return _NO_ROOM[errno.ENOSPC]
        return _NO_ROOM.get(error.errno or 0)
    # Libraries in other languages have errors of their own, which end in the system's words.
    return next((reason for code, reason in _NO_ROOM.items() if os.strerror(code) in str(error)), None)


def write_text(path: Path, text: str) -> None:
    """Write a file that is either the old or the new one, whatever happens; its folder is made where it is missing.

    Raises:
        DiskFullError: there is no room for it.
    """
    with atomic_file(path) as aside:
        aside.write_text(text, encoding="utf-8")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of that name against every other process and thread, where the system has such locks.

    The file is made where it is missing, and stays. The system frees the lock of a process that was killed.

    Raises:
        DiskFullError: there is no room even for that file.
    """
    with room_for(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    with file:
        if sys.platform != "win32":
            import fcntl  # noqa: PLC0415 - not on every system

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def atomic_file(destination: Path) -> Iterator[Path]:
    """The name of a file beside `destination` that takes its place when the block ends without an error.

    As with a folder, what stood there before is left by an error or a killed process, and no half file is renamed.

    Raises:
        DiskFullError: there is no room for it.
    """
    with room_for(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{destination.name}.", suffix=".part", dir=destination.parent)
        os.close(handle)
        aside = Path(name)
        try:
            yield aside
            aside.chmod(0o644)  # temporary files are made for their owner alone
            _flush(aside)
            aside.replace(destination)
            _flush(destination.parent)
        finally:
            aside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(destination: Path) -> Iterator[Path]:
    """A temporary folder beside `destination` that takes its place when the block ends without an error.

    An error, or a killed process, leaves what stood there before. Files are flushed to disk before the rename, so
    that a power cut cannot leave the new name on half the bytes.

    Raises:
        DiskFullError: there is no room for it.
    """
    with room_for(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", suffix=".part", dir=destination.parent))
        try:
            yield aside
            aside.chmod(0o755)  # mkdtemp makes folders that only their owner may read, and safetensors such files
            for path in [*aside.rglob("*"), aside]:
                if path.is_file():
                    path.chmod(0o644)
                _flush(path)
            _replace_folder(aside, destination)
            _flush(destination.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _replace_folder(new: Path, destination: Path) -> None:
    """Rename over `destination`. A folder in the way steps aside first: the two renames are not one."""
    if not destination.exists():
        new.rename(destination)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", suffix=".old", dir=destination.parent))
    destination.rename(old / "replaced")
    try:
        new.rename(destination)
    except OSError:
        (old / "replaced").rename(destination)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

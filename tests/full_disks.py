"""Disks without room: a real one of a few megabytes, one whose files may not grow, and one that tells when flushed."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

KINDS = ("full", "limited", "flushed")
# What a test may still write on a full disk: enough to begin each file, too little to end any.
_LEFT_BYTES = 8192
# Inside the block there is no room in the folder.
NoRoom = Callable[[], AbstractContextManager[None]]


@contextmanager
def small_disk(folder: Path, megabytes: int = 8) -> Iterator[None]:
    """The folder, which is made, is a disk of its own; needs root and the right to mount, and skips without."""
    mount = shutil.which("mount")
    if not sys.platform.startswith("linux") or mount is None or os.geteuid() != 0:
        pytest.skip("a disk of its own is for root on Linux")
    folder.mkdir()
    command = [mount, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing may be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # files may still be mapped


@contextmanager
def filled(folder: Path, left_bytes: int = _LEFT_BYTES) -> Iterator[None]:
    """The disk of a folder holds as much as it can, but for so many bytes."""
    filler = folder / ".filler"
    with filler.open("wb", buffering=0) as file:
        with pytest.raises(OSError, match="No space left"):  # noqa: PT012 - until it is
            while True:
                file.write(bytes(4096))
        file.truncate(file.tell() - left_bytes)
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def limited(largest: int = _LEFT_BYTES // 2) -> Iterator[None]:
    """No file of this process, of whatever library, may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def flushed() -> Iterator[None]:
    """Writing succeeds, and flushing finds no room: file systems that allocate late, and those over a network."""

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        yield


@contextmanager
def disk(kind: str, folder: Path, megabytes: int = 8) -> Iterator[NoRoom]:
    """A folder on a disk of that kind, which has room until it is taken; a real one has so much of it."""
    if kind != "full":
        folder.mkdir()
        yield limited if kind == "limited" else flushed
        return
    with small_disk(folder, megabytes):
        yield lambda: filled(folder)


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with what it holds, without what fills the disk."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".filler")
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}

"""A folder that one process at a time works in."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uwe_core.errors import ConfigurationError

_LOCK_FILE = ".lock"


@contextmanager
def locked_folder(folder: Path, work: str) -> Iterator[None]:
    """Keep other processes out while the block runs; the folder is made where it is not there.

    Args:
        folder: of the work.
        work: what it is, such as `build`, for messages.

    Raises:
        ConfigurationError: another process is at work in it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK_FILE).open("w")
    except OSError as error:
        raise ConfigurationError(f"the {work} folder {folder} cannot be written to: {error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(f"another {work} is at work in {folder}") from error
        yield

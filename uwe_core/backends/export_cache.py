"""Encoders exported for another library, kept on disk: whole, checked, and made again where they are not."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel, ConfigDict

from uwe_core.backends import packed_encoder, packed_texts
from uwe_core.backends.interface import BackendName, BackendPrecision
from uwe_core.errors import ArtefactError, ChecksumError
from uwe_core.facts import read_facts
from uwe_core.files import atomic_folder, sha256_of

logger = logging.getLogger(__name__)

EXPORT_FORMAT = 1
EXPORT_FILE = "export.json"


class ExportManifest(BaseModel):
    """`export.json`: the files beside it by their SHA-256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = EXPORT_FORMAT
    checksums: dict[str, str]


@dataclass(frozen=True)
class ExportKey:
    """What an export depends on.

    Attributes:
        encoder_fingerprint: of weights and tokenizer in float32.
        version: of the library that reads it.
        code: the modules that decide what is written; a changed line of theirs makes another export.
    """

    encoder_fingerprint: str
    backend: BackendName
    precision: BackendPrecision
    version: str
    code: tuple[ModuleType, ...]

    def folder(self, root: Path) -> Path:
        """Where the export lies; named by content, so that nothing is ever overwritten."""
        digest = hashlib.sha256(f"{self.encoder_fingerprint} {self.backend} {self.precision} {self.version}".encode())
        for source in _sources((packed_encoder, packed_texts, *self.code)):
            digest.update(source)
        return root / self.encoder_fingerprint[:16] / f"{self.backend}-{self.precision}-{digest.hexdigest()[:16]}"


def open_or_export(root: Path, key: ExportKey, export: Callable[[Path], None]) -> Path:
    """The folder of an export: the one on disk, or, where there is none that can be used, a new one.

    Args:
        root: of all exports.
        key: of this one.
        export: writes the files into an empty folder.
    """
    folder = key.folder(root)
    if folder.exists():
        try:
            _check(folder)
        except ArtefactError as error:
            logger.warning("exporting the encoder for %s again: %s", key.backend, error)
        else:
            return folder
    with atomic_folder(folder) as aside:
        export(aside)
        checksums = {path.name: sha256_of(path) for path in sorted(aside.iterdir())}
        (aside / EXPORT_FILE).write_text(ExportManifest(checksums=checksums).model_dump_json(indent=2) + "\n")
    return folder


def _check(folder: Path) -> None:
    manifest = read_facts(folder / EXPORT_FILE, ExportManifest, EXPORT_FORMAT)
    for name, checksum in manifest.checksums.items():
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            raise ArtefactError(f"{folder / name} cannot be read: {error}") from error
        if found != checksum:
            raise ChecksumError(f"{folder / name} is not the file that was written")


def _sources(modules: Iterable[ModuleType]) -> Iterable[bytes]:
    for module in modules:
        if module.__file__ is not None:
            yield Path(module.__file__).read_bytes()

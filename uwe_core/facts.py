"""Small JSON files that say what the larger files beside them are; their format version is looked at first."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from uwe_core.errors import ArtefactError, FormatVersionError

Facts = TypeVar("Facts", bound=BaseModel)


class _Version(BaseModel):
    model_config = ConfigDict(extra="ignore")

    format_version: int | None = None


def read_facts(path: Path, kind: type[Facts], format_version: int) -> Facts:
    """Read such a file.

    Raises:
        FormatVersionError: written by another version of the format, whatever else that version holds.
        ArtefactError: the file cannot be read as its kind.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = _Version.model_validate_json(text).format_version
        if found is not None and found != format_version:
            raise FormatVersionError(f"{path} has format version {found}, this is {format_version}")
        return kind.model_validate_json(text)
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise ArtefactError(f"{path} cannot be read: {error}") from error

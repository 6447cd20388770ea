"""TargetSpace: the ordered set of targets of a task, with what is known of each."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from uwe_core.errors import ArtefactError, DataError, FingerprintError
from uwe_core.facts import read_facts
from uwe_core.files import atomic_folder
from uwe_core.text import unreadable_reason

SPACE_FORMAT = 1
SPACE_FILE = "space.json"
TARGETS_FILE = "targets.parquet"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

SpaceKind = Literal["skill", "job", "other"]


class SpaceInfo(BaseModel):
    """What a target space is, without its targets; returned by the service as it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: SpaceKind = "other"
    language: str = "en"
    taxonomy_version: str | None = None
    licence: str | None = None
    attribution: str | None = None


class _SpaceFile(SpaceInfo):
    format_version: int = SPACE_FORMAT
    fingerprint: str
    targets: int = Field(ge=0)


@dataclass(frozen=True)
class TargetSpace:
    """Ids, texts and metadata in a fixed order. Ids are unique; texts need not be.

    Raises:
        DataError: a name, id or text that cannot be used, with the position of the target.
    """

    info: SpaceInfo
    ids: Sequence[str]
    texts: Sequence[str]
    metadata: pa.Table = field(default_factory=lambda: pa.table({}))

    def __post_init__(self) -> None:
        if not is_space_name(self.info.name):
            raise DataError(
                self.info.name, None, "a space's name is 1 to 64 of a-z, 0-9, '.', '_' and '-', not beginning with '.'"
            )
        if not self.ids:
            raise DataError(self.info.name, None, "a target space needs at least one target")
        if len(self.ids) != len(self.texts) or (self.metadata.num_columns and self.metadata.num_rows != len(self.ids)):
            raise DataError(self.info.name, None, "ids, texts and metadata differ in length")
        repeated = [identifier for identifier, count in Counter(self.ids).items() if count > 1]
        if repeated:
            raise DataError(self.info.name, None, f"the id '{repeated[0]}' stands for more than one target")
        for position, text in enumerate(self.texts):
            reason = unreadable_reason(text)
            if reason is not None:
                raise DataError(self.info.name, None, f"the text of '{self.ids[position]}' {reason}")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of ids and texts in order; metadata may change without re-encoding."""
        digest = hashlib.sha256()
        for identifier, text in zip(self.ids, self.texts, strict=True):
            digest.update(json.dumps([identifier, text]).encode())
        return digest.hexdigest()

    @cached_property
    def metadata_fingerprint(self) -> str | None:
        """Content hash of the metadata, whatever types they are stored in; None where there are none."""
        if not self.metadata.num_columns:
            return None
        digest = hashlib.sha256()
        for name in self.metadata.column_names:
            digest.update(json.dumps([name, self.metadata[name].to_pylist()], default=str).encode())
        return digest.hexdigest()

    def metadata_of(self, targets: Sequence[int]) -> list[dict[str, Any]]:
        """The metadata of several targets, by index; absent values are left out."""
        if not self.metadata.num_columns:
            return [{} for _ in targets]
        rows = self.metadata.take(pa.array(targets, type=pa.int64())).to_pylist()
        return [{key: value for key, value in row.items() if value not in (None, "", [])} for row in rows]

    @classmethod
    def from_columns(cls, info: SpaceInfo, columns: Mapping[str, Sequence[Any]]) -> TargetSpace:
        """Build from columns `id` and `text`; every other column becomes metadata."""
        others = {name: list(values) for name, values in columns.items() if name not in ("id", "text")}
        return cls(info, list(columns["id"]), list(columns["text"]), pa.table(others))

    @classmethod
    def from_csv(cls, info: SpaceInfo, source: Path | io.BytesIO) -> TargetSpace:
        """Read a UTF-8 CSV file with the columns `id` and `text`; every other column becomes metadata.

        Raises:
            DataError: the file cannot be read or lacks a column.
        """
        path = source if isinstance(source, Path) else info.name
        try:
            table = pa_csv.read_csv(
                source,
                parse_options=pa_csv.ParseOptions(newlines_in_values=True),
                convert_options=pa_csv.ConvertOptions(
                    column_types={"id": pa.string(), "text": pa.string()}, strings_can_be_null=False
                ),
            )
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(path, None, f"cannot be read as CSV: {error}") from error
        reason = _unusable_columns(table)
        if reason is not None:
            raise DataError(path, 1, reason)
        return cls(info, *_split(table))

    def save(self, folder: Path) -> None:
        """Write `space.json` and `targets.parquet`; all or nothing."""
        table = pa.table({"id": pa.array(self.ids, pa.string()), "text": pa.array(self.texts, pa.string())})
        for name in self.metadata.column_names:
            table = table.append_column(name, self.metadata[name])
        facts = _SpaceFile(**self.info.model_dump(), fingerprint=self.fingerprint, targets=len(self))
        with atomic_folder(folder) as aside:
            pq.write_table(table, aside / TARGETS_FILE)
            (aside / SPACE_FILE).write_text(facts.model_dump_json(indent=2) + "\n")

    @classmethod
    def open(cls, folder: Path) -> TargetSpace:
        """Read a folder that `save` wrote.

        Raises:
            FormatVersionError: written by another version of the format.
            FingerprintError: the targets are not the ones `space.json` was written for.
            ArtefactError: a file is missing or broken.
        """
        facts = read_space_file(folder)
        try:
            table = pq.read_table(folder / TARGETS_FILE)
        except (OSError, pa.ArrowInvalid) as error:
            raise ArtefactError(f"{folder / TARGETS_FILE} cannot be read: {error}") from error
        reason = _unusable_columns(table)
        if reason is not None:
            raise ArtefactError(f"{folder / TARGETS_FILE} {reason}")
        info = SpaceInfo(**facts.model_dump(include=set(SpaceInfo.model_fields)))
        try:
            space = cls(info, *_split(table))
        except DataError as error:  # what was saved could be used: the caller is not to blame
            raise ArtefactError(f"{folder} is broken: {error}") from error
        if space.fingerprint != facts.fingerprint:
            raise FingerprintError(f"{folder}: {TARGETS_FILE} does not hold the targets that {SPACE_FILE} names")
        return space


def is_space_name(name: str) -> bool:
    """Whether a space may have that name; such names are safe as names of folders."""
    return _NAME.fullmatch(name) is not None


def read_space_file(folder: Path) -> _SpaceFile:
    """`space.json` alone, without reading the targets; raises as `TargetSpace.open` does."""
    return read_facts(folder / SPACE_FILE, _SpaceFile, SPACE_FORMAT)


def _unusable_columns(table: pa.Table) -> str | None:
    """What keeps a table from becoming a target space, to be written behind the name of its file."""
    names = Counter(table.column_names)
    missing = [name for name in ("id", "text") if name not in names]
    if missing:
        return f"has no column {' and no column '.join(missing)}"
    for name, count in names.items():
        if count > 1:
            return f"has {count} columns '{name}'"
        if pa.types.is_binary(table.schema.field(name).type):
            return f"has a column '{name}' that is not UTF-8"
    for name in ("id", "text"):
        if not pa.types.is_string(table.schema.field(name).type) or table[name].null_count:
            return f"has a '{name}' that is not a text"
    return None


def _split(table: pa.Table) -> tuple[list[str], list[str], pa.Table]:
    return table["id"].to_pylist(), table["text"].to_pylist(), table.drop_columns(["id", "text"])

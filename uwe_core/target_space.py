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
from uwe_core.text import same_text_key, unreadable_reason

SPACE_FORMAT = 1
SPACE_FILE = "space.json"
TARGETS_FILE = "targets.parquet"
# Of aliases in one cell, such as those of a CSV file.
ALIAS_SEPARATOR = "|"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

SpaceKind = Literal["skill", "job", "other"]


class SpaceInfo(BaseModel):
    """What a target space is, without its targets; returned by the service as it stands.

    Attributes:
        alias_column: metadata whose texts are matched as the targets' own are; None matches their own alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: SpaceKind = "other"
    language: str = "en"
    taxonomy_version: str | None = None
    licence: str | None = None
    attribution: str | None = None
    alias_column: str | None = None


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
        self._check_aliases()

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of ids, texts and matched aliases in order; other metadata may change without re-encoding."""
        digest = hashlib.sha256()
        for identifier, text in zip(self.ids, self.texts, strict=True):
            digest.update(json.dumps([identifier, text]).encode())
        if self.info.alias_column is not None:
            digest.update(json.dumps(self.aliases).encode())
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

    @cached_property
    def aliases(self) -> list[list[str]]:
        """The texts beside its own by which each target is matched; repetitions, and its own text, are left out."""
        if self.info.alias_column is None:
            return [[] for _ in self.ids]
        aliases = []
        for text, listed in zip(self.texts, self.metadata[self.info.alias_column].to_pylist(), strict=True):
            found = split_aliases(listed) if isinstance(listed, str) else listed or []
            by_key = {same_text_key(text): text}
            for alias in found:
                if alias and alias.strip():
                    by_key.setdefault(same_text_key(alias), alias.strip())
            aliases.append(list(by_key.values())[1:])
        return aliases

    @property
    def matched_texts(self) -> list[str]:
        """What an index has rows for: the text of each target, then all aliases, target after target."""
        return [*self.texts, *(alias for aliases in self.aliases for alias in aliases)]

    def matching(self, alias_column: str | None) -> TargetSpace:
        """The same targets, matched by the aliases in that column too; by their own texts alone where None.

        Raises:
            DataError: there is no such column, or it holds no texts.
        """
        info = self.info.model_copy(update={"alias_column": alias_column})
        return TargetSpace(info, self.ids, self.texts, self.metadata)

    def metadata_of(self, targets: Sequence[int]) -> list[dict[str, Any]]:
        """The metadata of several targets, by index; absent values are left out."""
        if not self.metadata.num_columns:
            return [{} for _ in targets]
        rows = self.metadata.take(pa.array(targets, type=pa.int64())).to_pylist()
        return [{key: value for key, value in row.items() if value not in (None, "", [])} for row in rows]

    def _check_aliases(self) -> None:
        column = self.info.alias_column
        if column is None:
            return
        if column not in self.metadata.column_names:
            raise DataError(self.info.name, None, f"has no column '{column}' to take aliases from")
        kind = self.metadata.schema.field(column).type
        if not (_is_text(kind) or (pa.types.is_list(kind) and _is_text(kind.value_type))):
            raise DataError(self.info.name, None, f"the aliases in '{column}' are no texts, but {kind}")
        for identifier, aliases in zip(self.ids, self.aliases, strict=True):
            for alias in aliases:
                reason = unreadable_reason(alias)
                if reason is not None:
                    raise DataError(self.info.name, None, f"an alias of '{identifier}' {reason}")

    @classmethod
    def from_columns(cls, info: SpaceInfo, columns: Mapping[str, Sequence[Any]]) -> TargetSpace:
        """Build from columns `id` and `text`; every other column becomes metadata."""
        others = {name: list(values) for name, values in columns.items() if name not in ("id", "text")}
        return cls(info, list(columns["id"]), list(columns["text"]), pa.table(others))

    @classmethod
    def from_csv(cls, info: SpaceInfo, source: Path | io.BytesIO) -> TargetSpace:
        """Read a UTF-8 CSV file with the columns `id` and `text`; every other column becomes metadata.

        A cell of `info.alias_column` holds several aliases with `|` between them.

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
        ids, texts, metadata = _split(table)
        return cls(info, ids, texts, _with_lists(metadata, info.alias_column))

    def save(self, folder: Path) -> None:
        """Write `space.json` and `targets.parquet`; all or nothing."""
        table = pa.table({"id": pa.array(self.ids, pa.string()), "text": pa.array(self.texts, pa.string())})
        for name in self.metadata.column_names:
            table = table.append_column(name, self.metadata[name])
        facts = _SpaceFile(**self.info.model_dump(), fingerprint=self.fingerprint, targets=len(self))
        unsaid = {"alias_column"} if facts.alias_column is None else None  # so that earlier versions can read it
        with atomic_folder(folder) as aside:
            pq.write_table(table, aside / TARGETS_FILE)
            (aside / SPACE_FILE).write_text(facts.model_dump_json(indent=2, exclude=unsaid) + "\n")

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


def split_aliases(cell: str) -> list[str]:
    """The aliases that one cell of a CSV file holds; blank ones are left out."""
    return [alias.strip() for alias in cell.split(ALIAS_SEPARATOR) if alias.strip()]


def _with_lists(table: pa.Table, column: str | None) -> pa.Table:
    """A table of which one column, where it is there and holds texts, holds the parts of each text."""
    if column not in table.column_names or not pa.types.is_string(table.schema.field(column).type):
        return table
    parts = [split_aliases(cell or "") for cell in table[column].to_pylist()]
    place = table.column_names.index(column)
    return table.set_column(place, column, pa.array(parts, pa.list_(pa.string())))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def _split(table: pa.Table) -> tuple[list[str], list[str], pa.Table]:
    return table["id"].to_pylist(), table["text"].to_pylist(), table.drop_columns(["id", "text"])

"""Uploads: target spaces and changes of them, as JSON or CSV, checked target by target."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

import orjson
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError

from uwe_core.errors import DataError
from uwe_core.target_space import SpaceInfo, SpaceKind, TargetSpace, split_aliases
from uwe_core.text import unreadable_reason

ALIASES = "aliases"
_OWN_COLUMNS = ("id", "text", ALIASES)
# Ids stand in requests too, which allow so many characters.
_LONGEST_ID = 256
_LONGEST_TEXT = 20_000
_MOST_COLUMNS = 64

_Scalar = StrictBool | StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)] | StrictStr
_Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
_Fact = Annotated[str, Field(max_length=2000)]
_Id = Annotated[StrictStr, Field(min_length=1, max_length=_LONGEST_ID)]
Uploaded = TypeVar("Uploaded", bound=BaseModel)


class _Upload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UploadedTarget(_Upload):
    """A target as it is sent."""

    id: _Id
    text: Annotated[StrictStr, Field(min_length=1, max_length=_LONGEST_TEXT)]
    aliases: list[StrictStr] = Field(
        default=[], description="Other texts by which the target is found; they come back as metadata."
    )
    metadata: dict[StrictStr, _Scalar | list[_Scalar] | None] = Field(
        default={}, description="Returned with the target. A key has values of one type in all targets."
    )


class SpaceFacts(_Upload):
    """What a space is, without its targets."""

    kind: SpaceKind = "other"
    language: _Language = Field(default="en", description="Tag of the texts' language, such as `en` or `de-AT`.")
    taxonomy_version: _Fact | None = None
    licence: _Fact | None = None
    attribution: _Fact | None = None


class SpaceUpload(SpaceFacts):
    """A whole target space."""

    targets: list[UploadedTarget] = Field(min_length=1)


class SpacePatch(_Upload):
    """What is to be changed of a target space; all of it or nothing."""

    put: list[UploadedTarget] = Field(
        default=[], description="Targets to add, or to put in place of those of their id."
    )
    remove: list[_Id] = Field(default=[], description="Ids of targets to remove; absent ones are left alone.")
    fingerprint: str | None = Field(
        default=None, description="Change nothing unless the live index has this fingerprint."
    )


class _Row(NamedTuple):
    """A target as it is kept; aliases are metadata."""

    id: str
    text: str
    metadata: Mapping[str, Any]


def read_upload(name: str, body: bytes) -> TargetSpace:
    """A space from JSON.

    Raises:
        DataError: what cannot be used, naming the target.
    """
    upload = _read(name, SpaceUpload, body)
    facts = upload.model_dump(exclude={"targets"})
    return _space(SpaceInfo(name=name, **facts), _rows(name, upload.targets))


def read_csv(name: str, body: bytes, facts: SpaceFacts) -> TargetSpace:
    """A space from CSV, with its facts from elsewhere; `aliases` are separated by '|'.

    Raises:
        DataError: what cannot be used, naming the target.
    """
    table = TargetSpace.from_csv(SpaceInfo(name=name, **facts.model_dump()), io.BytesIO(body))
    rows = []
    for row in _rows_of(table):
        metadata = {key: value for key, value in row.metadata.items() if key != ALIASES}
        rows.append(_checked(name, row.id, row.text, metadata, split_aliases(str(row.metadata.get(ALIASES, "")))))
    return _space(table.info, rows)


def read_patch(name: str, body: bytes) -> SpacePatch:
    """A change from JSON.

    Raises:
        DataError: what cannot be used, naming the target.
    """
    patch = _read(name, SpacePatch, body)
    counts = Counter(target.id for target in patch.put)
    for identifier, count in counts.items():
        if count > 1:
            raise DataError(name, None, f"'put' has the target '{identifier}' twice")
    both = counts.keys() & set(patch.remove)
    if both:
        raise DataError(name, None, f"the target '{min(both)}' is in 'put' and in 'remove'")
    if not patch.put and not patch.remove:
        raise DataError(name, None, "nothing to 'put' and nothing to 'remove'")
    return patch


def patched(space: TargetSpace, patch: SpacePatch) -> TargetSpace:
    """A space with a change: targets that stay or are replaced keep their place, new ones come last.

    Raises:
        DataError: what cannot be used, naming the target.
    """
    rows = {row.id: row for row in _rows_of(space)}
    for identifier in patch.remove:
        rows.pop(identifier, None)
    rows |= {row.id: row for row in _rows(space.info.name, patch.put)}
    return _space(space.info, list(rows.values()))


def _read(name: str, kind: type[Uploaded], body: bytes) -> Uploaded:
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise DataError(name, None, f"the body is not JSON: {error}") from error
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        more = f" (and {error.error_count() - 1} more problems)" if error.error_count() > 1 else ""
        raise DataError(name, None, f"{_where(problem['loc'], raw)}{problem['msg']}{more}") from error


def _where(place: Sequence[int | str], raw: Any) -> str:
    """Which target it is about, by id where it has one, and which of its fields."""
    match place:
        case [("targets" | "put") as field, int(position), *rest]:
            target = raw[field][position]
            identifier = target.get("id") if isinstance(target, dict) else None
            named = f"target '{identifier:.64}'" if isinstance(identifier, str) else f"target {position}"
            return f"{named}: {'.'.join(map(str, rest[:2]))}: "
        case []:
            return ""
        case _:
            return f"{'.'.join(map(str, place))}: "


def _rows(name: str, targets: Iterable[UploadedTarget]) -> list[_Row]:
    return [_checked(name, target.id, target.text, target.metadata, target.aliases) for target in targets]


def _checked(name: str, identifier: str, text: str, metadata: Mapping[str, Any], aliases: Sequence[str]) -> _Row:
    """A target whose id, metadata and aliases can be kept; the texts are the space's to check."""

    def refuse(reason: str) -> DataError:
        return DataError(name, None, f"target '{identifier:.64}': {reason}")

    if not identifier or len(identifier) > _LONGEST_ID or unreadable_reason(identifier) is not None:
        raise refuse(f"an id is a text of 1 to {_LONGEST_ID} characters")
    if len(text) > _LONGEST_TEXT:
        raise refuse(f"the text has {len(text)} characters; it may have {_LONGEST_TEXT}")
    for key in metadata:
        if key in _OWN_COLUMNS or not key or len(key) > _LONGEST_ID or unreadable_reason(key) is not None:
            raise refuse(f"metadata cannot have the key '{key:.64}'")
    for alias in aliases:
        if alias and unreadable_reason(alias) is not None:
            raise refuse(f"an alias {unreadable_reason(alias)}")
    kept = {key: value for key, value in metadata.items() if value not in (None, "", [])}
    named = [alias for alias in aliases if alias]
    return _Row(identifier, text, {**kept, ALIASES: named} if named else kept)


def _rows_of(space: TargetSpace) -> list[_Row]:
    metadata = space.metadata_of(range(len(space)))
    return [_Row(*row) for row in zip(space.ids, space.texts, metadata, strict=True)]


def _space(info: SpaceInfo, rows: Sequence[_Row]) -> TargetSpace:
    """A space whose metadata are columns in the order of their names, so that equal targets make equal spaces."""
    names = sorted({key for row in rows for key in row.metadata})
    if len(names) > _MOST_COLUMNS:
        raise DataError(info.name, None, f"metadata have {len(names)} keys; they may have {_MOST_COLUMNS}")
    columns = {name: _column(info.name, name, rows) for name in names}
    info = info.model_copy(update={"alias_column": ALIASES if ALIASES in names else None})
    return TargetSpace(info, [row.id for row in rows], [row.text for row in rows], pa.table(columns))


def _column(space: str, name: str, rows: Sequence[_Row]) -> pa.Array:
    first: tuple[str, str] | None = None
    for row in rows:
        if name not in row.metadata:
            continue
        kind = _kind(row.metadata[name])
        if kind is None:
            raise DataError(space, None, f"target '{row.id:.64}': metadata '{name}' is a list of different types")
        first = first or (row.id, kind)
        if kind != first[1]:
            reason = f"metadata '{name}' is {kind}, and {first[1]} in '{first[0]:.64}'"
            raise DataError(space, None, f"target '{row.id:.64}': {reason}")
    try:
        return pa.array([row.metadata.get(name) for row in rows])
    except (pa.ArrowException, OverflowError) as error:
        raise DataError(space, None, f"metadata '{name}' cannot be kept: {error}") from error


def _kind(value: Any) -> str | None:
    """The type of a value, in words; None of a list of several types."""
    if isinstance(value, list):
        kinds = {_kind(each) for each in value}
        return f"a list of which each is {kinds.pop()}" if len(kinds) == 1 else None
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    return "a text" if isinstance(value, str) else f"a {type(value).__name__}"

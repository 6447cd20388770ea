"""Targets that come with a request: how they are asked for, and the target space that they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Self, TypeAlias

import pyarrow as pa
from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from service.body import Body
from service.schemas import RankRequest, SpaceRankRequest
from service.settings import Settings
from service.text_fields import TextField
from uwe_core.errors import DataError, EmptyTextError, InputError, InvalidTextError, LimitError
from uwe_core.ranker import GIVEN_TASK
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.text import unreadable_reason

_INFO = SpaceInfo(name=GIVEN_TASK.target_space)
_LONGEST_ID = 256


class GivenTarget(Body):
    """A target with more than its text."""

    text: str
    id: Annotated[str, Field(min_length=1, max_length=_LONGEST_ID)] | None = Field(
        default=None, description="Its position among the targets where absent."
    )
    metadata: dict[str, Any] = Field(default={}, description="Comes back with it; equal names hold values of one type.")


class GivenTargetsRequest(RankRequest):
    """One `query`, or several `queries`, and the `targets` to rank for them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "pharmacy technician", "targets": ["dispense medicines", "weld metal"]},
                {
                    "query": "pharmacy technician",
                    "targets": [{"id": "a7", "text": "dispense medicines", "metadata": {"level": 2}}, "weld metal"],
                    "top_k": 1,
                    "explain": True,
                },
            ]
        }
    )

    targets: list[str | GivenTarget] = Field(
        min_length=1, description="Texts, or texts with an id and metadata; a bare text's id is its position, from 0."
    )

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        identifier, count = Counter(target.id for target in self.given).most_common(1)[0]
        if count > 1:
            raise ValueError(f"targets: {count} of them have the id '{identifier}'")
        return self

    @cached_property
    def given(self) -> list[GivenTarget]:
        """All targets, each with an id."""
        return [_with_id(target, str(position)) for position, target in enumerate(self.targets)]


def _shape(body: Any) -> str:
    """Which of both a body is; anything that is neither is held to the first."""
    brings_targets = "targets" in body if isinstance(body, dict) else isinstance(body, GivenTargetsRequest)
    return "targets" if brings_targets else "space"


ZeroShotRequest: TypeAlias = Annotated[
    Annotated[SpaceRankRequest, Tag("space")] | Annotated[GivenTargetsRequest, Tag("targets")],
    Discriminator(_shape),
]


def _with_id(target: str | GivenTarget, position: str) -> GivenTarget:
    if isinstance(target, str):
        return GivenTarget(text=target, id=position)
    return target if target.id is not None else target.model_copy(update={"id": position})


def check_targets(texts: TextField, settings: Settings) -> None:
    """Refuse too many targets, too long ones, and those that no encoder can read, before they cost anything.

    Raises:
        LimitError: too many, or too many characters.
        InvalidTextError, EmptyTextError: one that cannot be read, by its place in the request.
    """
    if len(texts.texts) > settings.max_inline_targets:
        raise LimitError(f"{len(texts.texts)} {texts.name}; one request may bring {settings.max_inline_targets}")
    characters = sum(map(len, texts.texts))
    if characters > settings.max_inline_chars:
        raise LimitError(
            f"{texts.name} have {characters} characters; one request may bring {settings.max_inline_chars}"
        )
    for position, text in enumerate(texts.texts):
        reason = unreadable_reason(text)
        if reason is not None:
            error = InvalidTextError if text.strip() else EmptyTextError
            raise error(position, reason, texts.place(position))


def space_of(targets: Sequence[GivenTarget]) -> TargetSpace:
    """The target space of targets that were checked and have ids.

    Raises:
        InputError: metadata whose values under one name are of several types.
    """
    names = list(dict.fromkeys(name for target in targets for name in target.metadata))
    columns = {name: _column(name, [target.metadata.get(name) for target in targets]) for name in names}
    try:
        return TargetSpace(
            _INFO, [str(target.id) for target in targets], [target.text for target in targets], pa.table(columns)
        )
    except DataError as error:
        raise InputError(f"targets: {error}") from error


def _column(name: str, values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError) as error:
        raise InputError(f"targets: the metadata '{name}' are of several types: {error}") from error

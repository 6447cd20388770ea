"""Targets that come with a request: what of them is refused, and the target space that they make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from service.schemas.zero_shot import GivenTarget
from service.settings import Settings
from service.text_fields import TextField
from uwe_core.errors import DataError, EmptyTextError, InputError, InvalidTextError, LimitError
from uwe_core.ranker import GIVEN_TASK
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.text import unreadable_reason

_INFO = SpaceInfo(name=GIVEN_TASK.target_space)


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

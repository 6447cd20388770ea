"""Which languages a model reads, as far as that is known, and what is said of a space in another one."""

from __future__ import annotations

from uwe_core.builtin_models import BUILTIN_MODELS
from uwe_core.model import UweModel
from uwe_core.target_space import SpaceInfo


def languages_of(model: UweModel) -> tuple[str, ...] | None:
    """Of the built-in models and of those trained from them, which all read English alone; None of any other model."""
    return ("en",) if {model.name, model.info.base} & BUILTIN_MODELS.keys() else None


def language_warnings(languages: tuple[str, ...] | None, space: SpaceInfo) -> list[str]:
    """What the owner of a space should know before its rankings are believed."""
    if languages is None or space.language.partition("-")[0].lower() in languages:
        return []
    return [f"the texts are in '{space.language}' and the model reads {', '.join(languages)}: rankings may be poor"]

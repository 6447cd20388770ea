"""A target space, or targets of the moment, and the queries to rank them for."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Annotated, Any, Self, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from service.schemas.body import Body
from service.schemas.rank import RankRequest

_LONGEST_ID = 256


class SpaceRankRequest(RankRequest):
    """A target space, and one `query` or several `queries`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"space": "courses", "queries": ["nurse", "welder"], "top_k": 3}]}
    )

    space: str = Field(description="Name of a space; GET /spaces lists them.")


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

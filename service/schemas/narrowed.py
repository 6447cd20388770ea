"""Which targets of a ranking a request wants."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from service.schemas.body import Body
from service.schemas.filter import FilterField, metadata_filter
from uwe_core.narrowing import Narrowing

# They are part of the keys of cached answers: thousands of them must not fill the memory.
_MOST_EXCLUDED = 256
_LONGEST_EXCLUDED = 256


class NarrowedRequest(Body):
    """Which targets of a ranking are wanted, and how much is to be said of them."""

    explain: bool = Field(
        default=False, description="Say what each pair of a query token and a target token adds to the score."
    )
    min_confidence: float | None = Field(
        default=None, ge=0, le=1, description="Least `confidence` of a target; for calibrated tasks alone."
    )
    exclude: list[Annotated[str, Field(max_length=_LONGEST_EXCLUDED)]] = Field(
        default=[],
        max_length=_MOST_EXCLUDED,
        description="Ids of targets that are never returned.",
    )
    filter: FilterField = Field(default={})

    @property
    def narrowing(self) -> Narrowing:
        """Which part of the rankings is wanted."""
        exclude, wanted = frozenset(self.exclude), metadata_filter(self.filter)
        return Narrowing(min_confidence=self.min_confidence, exclude=exclude, filter=wanted)


class PagedRequest(NarrowedRequest):
    """The same with a page of each ranking."""

    top_k: int | None = Field(default=None, ge=1, description="Targets per query; the task's default where absent.")
    offset: int = Field(default=0, ge=0, description="Pass over so many of the best targets.")
    min_score: float | None = Field(default=None, allow_inf_nan=False, description="Least `score` of a target.")

    @property
    def narrowing(self) -> Narrowing:
        """Which part of the rankings is wanted."""
        return replace(super().narrowing, offset=self.offset, min_score=self.min_score)

"""Queries that are answered one by one, each with a ranking or an error of its own."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, SkipValidation

from service.schemas.body import Body
from service.schemas.narrowed import PagedRequest
from service.schemas.origin import IndexSummary, ModelSummary
from service.schemas.rank import QueryResult

LONGEST_ID = 256


class RankItem(PagedRequest):
    """One query of a batch, and what is wanted of its ranking."""

    id: Annotated[str, Field(max_length=LONGEST_ID)] | int | None = Field(
        default=None, description="Given back with the answer."
    )
    query: str = Field(description="The text to rank for.")


class BatchRequest(Body):
    """Queries that are answered one by one, each with an error of its own where it cannot be ranked."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [{"id": "a", "query": "nurse"}, {"id": "b", "query": "welder"}]}]}
    )

    items: list[SkipValidation[RankItem]] = Field(min_length=1)  # each is validated on its own


class ItemError(Body):
    """Why an item has no ranking."""

    code: str
    message: str


class BatchResult(Body):
    """The answer to one item: a ranking, or an error."""

    line: int | None = Field(default=None, description="Of the request, from 1; where items are lines.")
    id: str | int | None = Field(description="Of the item, where it could be read.")
    result: QueryResult | None
    error: ItemError | None


class BatchResponse(Body):
    """Answers in the order of the items."""

    task: str
    model: ModelSummary
    index: IndexSummary
    results: list[BatchResult]

"""Queries, and the targets that are ranked for them."""

from __future__ import annotations

from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from service.schemas.body import Body
from service.schemas.explanation import ScoreExplanation
from service.schemas.narrowed import PagedRequest
from service.schemas.origin import IndexSummary, ModelSummary
from service.schemas.tokens import Token, Truncated
from uwe_core.ranker import RankedTarget


class RankRequest(PagedRequest):
    """One `query`, or several `queries`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "pharmacy technician", "top_k": 3},
                {"queries": ["nurse", "welder"], "top_k": 10},
                {"query": "pharmacy technician", "top_k": 3, "explain": True},
                {"query": "pharmacy technician", "filter": {"type": ["knowledge"]}},
            ]
        }
    )

    query: str | None = Field(default=None, description="A single text to rank for.")
    queries: list[str] | None = Field(default=None, min_length=1, description="Texts to rank for.")

    fingerprint: str | None = Field(
        default=None,
        description="Answer from the index of this fingerprint: the live one or the one before it; 409 without it.",
    )
    model_fingerprint: str | None = Field(default=None, description="409 unless the model has this fingerprint.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.query is None) == (self.queries is None):
            raise ValueError("give either 'query' or 'queries'")
        return self

    @property
    def texts(self) -> list[str]:
        """All queries."""
        return [self.query] if self.query is not None else self.queries or []


class Target(Body):
    """A ranked target."""

    id: str
    text: str
    score: float = Field(description="The model's own score; grows with the length of the query.")
    normalised_score: float = Field(description="In [-1, 1], comparable between queries.")
    rank: int = Field(description="1 is best.")
    metadata: dict[str, Any]
    confidence: float | None = Field(
        default=None, description="Probability of being relevant; null where the model was not calibrated for the task."
    )
    explanation: ScoreExplanation | None = Field(default=None, description="Where `explain` was asked for.")
    matched_alias: str | None = Field(
        default=None, description="The alias to which it owes its score; null where its own text is as good."
    )

    @classmethod
    def of(cls, target: RankedTarget) -> Self:
        """Of a target that the ranker returned."""
        return cls.model_validate(target)


class QueryResult(Body):
    """The ranking of one query."""

    query: str
    targets: list[Target]
    truncated: Truncated | None = None
    query_tokens: list[Token] | None = Field(
        default=None, description="The query's tokens, those that were read; where `explain` was asked for."
    )


class RankResponse(Body):
    """Rankings in the order of the queries."""

    task: str = Field(description="`zero-shot` where none was named.")
    model: ModelSummary
    index: IndexSummary
    results: list[QueryResult]

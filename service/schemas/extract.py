"""A vacancy, and the skills that are extracted from it."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from service.schemas.body import Body
from service.schemas.narrowed import NarrowedRequest
from service.schemas.origin import IndexSummary, ModelSummary
from service.schemas.tokens import Truncated


class ExtractRequest(NarrowedRequest):
    """A vacancy whose skills are wanted."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"text": "Your tasks:\n- You dispense medicines.\n- You advise customers.", "top_k": 5}]
        }
    )

    text: str = Field(description="The vacancy, with its line breaks.")
    task: str = Field(default="skillextract", description="Of which the sentences are the queries.")
    top_k: int = Field(default=20, ge=1, description="Skills of the vacancy.")
    per_sentence: int = Field(default=5, ge=1, description="Skills of each sentence that are looked at.")
    min_normalised_score: float | None = Field(
        default=None, ge=-1, le=1, description="Least `normalised_score` of a skill, and of a sentence as its evidence."
    )


class Word(Body):
    """A word of a sentence, by its place in the vacancy."""

    start: int = Field(description="First character, counted in Unicode code points from 0.")
    end: int = Field(description="The character after the last.")
    text: str
    contribution: float = Field(description="What its tokens add to the score; negative where they take from it.")


class Evidence(Body):
    """A sentence that a skill came from, by its place in the vacancy."""

    start: int = Field(description="First character, counted in Unicode code points from 0.")
    end: int = Field(description="The character after the last.")
    text: str
    score: float = Field(description="The model's own score; grows with the length of the sentence.")
    normalised_score: float
    confidence: float | None = None
    matched_alias: str | None = None
    truncated: Truncated | None = None
    words: list[Word] | None = Field(
        default=None, description="Largest contribution first, special tokens left out; where `explain` was asked for."
    )


class ExtractedSkill(Body):
    """A skill of the vacancy, or whatever the task ranks."""

    id: str
    text: str
    normalised_score: float = Field(description="The best of its sentences, in [-1, 1].")
    confidence: float | None = Field(default=None, description="Of the best sentence.")
    rank: int = Field(description="1 is best.")
    metadata: dict[str, Any]
    evidence: list[Evidence] = Field(description="Best sentence first.")


class ExtractResponse(Body):
    """The skills of a vacancy, best first."""

    task: str
    model: ModelSummary
    index: IndexSummary
    sentences: int = Field(description="That were ranked; headings are not.")
    skills: list[ExtractedSkill]

"""What an answer comes from: a model, and an index of its targets."""

from __future__ import annotations

from pydantic import Field

from service.schemas.body import Body


class ModelSummary(Body):
    """The model that ranked."""

    name: str
    fingerprint: str


class IndexSummary(Body):
    """The token index that was ranked."""

    space: str | None = Field(description="Null where the targets came with the request.")
    fingerprint: str

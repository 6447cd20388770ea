"""What the encoder reads of a text."""

from __future__ import annotations

from pydantic import Field

from service.schemas.body import Body


class Token(Body):
    """A token of a query or of a target, and the characters of the text that it was made of."""

    token: str = Field(description="As the tokenizer writes it.")
    start: int | None = Field(
        description="First character, counted in Unicode code points from 0; null of a special token, not in the text."
    )
    end: int | None = Field(description="The character after the last.")


class Truncated(Body):
    """The query was longer than the encoder's limit, and only its beginning was read."""

    tokens: int
    kept_tokens: int

"""A score in parts."""

from __future__ import annotations

from pydantic import Field

from service.schemas.body import Body
from service.schemas.tokens import Token


class Contribution(Body):
    """A query token that met a target token."""

    query_token: int = Field(description="Position in the result's `query_tokens`.")
    target_token: int = Field(description="Position in the explanation's `tokens`.")
    contribution: float = Field(description="What this pair adds to the score; negative where it takes from it.")


class ScoreExplanation(Body):
    """The score in parts: all of `pairs` and all of `rest` sum to it, up to rounding."""

    tokens: list[Token] = Field(description="The target's tokens.")
    pairs: list[Contribution] = Field(
        description="Those of at least a hundredth of all contributions, signs left aside; largest first."
    )
    rest: list[float] = Field(description="Per query token, what its smaller pairs add together.")

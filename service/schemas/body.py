"""Body: what every request and answer is built on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """JSON with nothing in it that is not named; read from attributes too."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)

"""How the candidates of a space are found, and how many."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

CandidateKind = Literal["hnsw", "ivf"]


class CandidateConfig(BaseModel):
    """Chosen for each space; a number alone is its `count`.

    Attributes:
        count: targets that are proposed for a query and scored exactly.
        kind: of faiss' index. `hnsw`, a graph of near neighbours, is the more accurate one; `ivf`, lists around
            centres, is built sooner and holds less, for very many targets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = Field(default=1000, ge=1)
    kind: CandidateKind = "hnsw"

    @model_validator(mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        """A number, or the digits of one as the environment gives them, stands for `count`."""
        return {"count": value} if isinstance(value, int | str) and not isinstance(value, bool) else value

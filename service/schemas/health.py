"""Whether the process lives and can answer, and with what."""

from __future__ import annotations

from pydantic import Field

from service.schemas.body import Body
from service.schemas.origin import ModelSummary
from uwe_core.backends.interface import BackendName, BackendPrecision


class Health(Body):
    """The process is alive."""

    status: str = "alive"


class EncodingTrial(Body):
    """What was measured at start of one way to encode queries."""

    backend: BackendName
    precision: BackendPrecision
    milliseconds: dict[str, float] = Field(description="Medians: one text of 8 tokens, one of 30, and 16 texts.")
    speedup: float = Field(description="Over torch in float32, geometric mean.")
    error: float = Field(description="The most that a token's cosine with torch in float32 falls short of 1.")


class Readiness(Body):
    """Requests can be answered, and with what."""

    status: str = "ready"
    model: ModelSummary
    device: str
    backend: BackendName = Field(description="What encodes queries.")
    precision: BackendPrecision
    threads: int
    processor: list[str] = Field(description="Of the instruction sets that matter, those the processor has.")
    trials: list[EncodingTrial] = Field(description="What was measured to choose; empty where settings left no choice.")

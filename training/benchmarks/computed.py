"""What a service says of its own computing, read from its metrics before and after it was loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

_STAGE = re.compile(r'^uwe_stage_seconds_sum\{stage="(\w+)"\} (\S+)$', re.MULTILINE)
_BATCH = re.compile(r"^uwe_batch_queries_(sum|count) (\S+)$", re.MULTILINE)
# Of requests, not of what is computed.
_OF_REQUESTS = frozenset({"wait", "tokenise"})


@dataclass(frozen=True)
class Computed:
    """Counted since the service started, or between two moments.

    Attributes:
        queries: that were computed.
        batches: in which they were.
        seconds: by stage.
    """

    queries: float
    batches: float
    seconds: Mapping[str, float]

    def since(self, before: Computed) -> Computed:
        """What was computed in between."""
        seconds = {stage: value - before.seconds.get(stage, 0.0) for stage, value in self.seconds.items()}
        return Computed(self.queries - before.queries, self.batches - before.batches, seconds)

    def in_words(self) -> str:
        """Queries of a batch, and milliseconds of a query by stage; the stages that took no time are left out."""
        if not self.queries:
            return ""
        stages = {stage: 1000 * seconds / self.queries for stage, seconds in self.seconds.items() if seconds > 0}
        shown = ", ".join(f"{stage} {value:.2f}" for stage, value in stages.items() if stage not in _OF_REQUESTS)
        return f"{self.queries / self.batches:.1f} a batch; ms a query: {shown}"


def computed_by(client: httpx.Client) -> Computed | None:
    """What a server has computed so far; None of one that does not say."""
    answer = client.get("/metrics")
    batch = dict(_BATCH.findall(answer.text)) if answer.status_code == 200 else {}
    if not batch:
        return None
    seconds = {stage: float(value) for stage, value in _STAGE.findall(answer.text)}
    return Computed(float(batch["sum"]), float(batch["count"]), seconds)

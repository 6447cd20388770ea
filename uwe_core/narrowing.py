"""Narrowing: which part of a ranking is wanted, beyond how many targets."""

from __future__ import annotations

from dataclasses import dataclass

from uwe_core.metadata_filter import MetadataFilter


@dataclass(frozen=True)
class Narrowing:
    """Which targets of a ranking are returned; all of the best ones by default.

    Attributes:
        offset: so many of the best targets are passed over; ranks go on counting.
        min_score: least score; None asks for none.
        min_confidence: least confidence, in [0, 1]; leaves nothing of a task that is not calibrated.
        exclude: ids of targets that count as absent; ids of no target are ignored.
        filter: targets that do not meet it count as absent; None lets all in.
    """

    offset: int = 0
    min_score: float | None = None
    min_confidence: float | None = None
    exclude: frozenset[str] = frozenset()
    filter: MetadataFilter | None = None

    def accepts(self, score: float, confidence: float | None) -> bool:
        """Whether a target is good enough; where the scores fall, no later one is once one is not."""
        if self.min_score is not None and score < self.min_score:
            return False
        return self.min_confidence is None or (confidence is not None and confidence >= self.min_confidence)


WHOLE = Narrowing()

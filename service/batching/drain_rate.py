"""DrainRate: how fast the queue empties, as measured."""

from __future__ import annotations

import math

# Of the newest batch in the mean; a handful of batches tell how fast this machine is now.
_NEWEST = 0.2
_LONGEST_SECONDS = 60


class DrainRate:
    """Tokens per second, a moving mean over batches."""

    def __init__(self) -> None:
        self._tokens_per_second: float | None = None

    def observe(self, tokens: int, seconds: float) -> None:
        """One batch was computed."""
        newest = tokens / max(seconds, 1e-6)
        known = self._tokens_per_second
        self._tokens_per_second = newest if known is None else known + _NEWEST * (newest - known)

    def retry_after(self, tokens: int) -> int:
        """Whole seconds in which that many tokens are computed: at least one, at most a minute."""
        if self._tokens_per_second is None:
            return 1
        return max(1, min(_LONGEST_SECONDS, math.ceil(tokens / self._tokens_per_second)))

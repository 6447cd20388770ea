"""How many requests a caller may send: a bucket of tokens that fills again with time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from uwe_core.errors import RateLimitError

# Seconds that only ever grow.
Clock = Callable[[], float]
_SECONDS_PER_MINUTE = 60


class TokenBucket:
    """Holds a minute's requests, is full at first, and is filled evenly.

    In any minute at most twice the rate passes (a full bucket, and what flows in), over longer times the rate.
    """

    def __init__(self, rate_per_minute: float, clock: Clock = time.monotonic) -> None:
        self._capacity = max(1.0, rate_per_minute)
        self._per_second = rate_per_minute / _SECONDS_PER_MINUTE
        self._clock = clock
        self._tokens = self._capacity
        self._filled_at = clock()

    def take(self) -> None:
        """Let one request pass.

        Raises:
            RateLimitError: the bucket is empty; says when it is not.
        """
        now = self._clock()
        self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._tokens < 1:
            seconds = math.ceil((1 - self._tokens) / self._per_second)
            raise RateLimitError("too many requests for now; Retry-After says when to come again", seconds)
        self._tokens -= 1

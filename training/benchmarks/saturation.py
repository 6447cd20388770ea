"""The highest rate a server holds: doubled until it breaks, then narrowed between the last good and the first bad."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from training.benchmarks.open_loop import LoadResult


@dataclass(frozen=True)
class Saturation:
    """What was tried, and the highest rate that held; None where not even the first did.

    Attributes:
        broke: whether any rate was too much; if not, the server holds more than was tried.
    """

    tried: list[LoadResult]
    held: float | None
    broke: bool

    @property
    def highest_tried(self) -> float:
        """Requests a second."""
        return max(result.rate for result in self.tried)


def find_saturation(
    measure: Callable[[float], LoadResult], first_rate: float, p99_ms: float, doublings: int, narrowings: int
) -> Saturation:
    """Double the rate from `first_rate` until it no longer holds, then try geometric means.

    Args:
        measure: of one rate.
        first_rate: requests a second.
        p99_ms: see `LoadResult.holds`.
        doublings: at most; the first rate is measured besides.
        narrowings: each halves the interval on a scale of logarithms.
    """
    tried = [measure(first_rate)]
    while tried[-1].holds(p99_ms) and len(tried) <= doublings:
        tried.append(measure(2 * tried[-1].rate))
    good = max((result.rate for result in tried if result.holds(p99_ms)), default=None)
    bad = None if tried[-1].holds(p99_ms) else tried[-1].rate
    if good is not None and bad is not None:
        for _ in range(narrowings):
            tried.append(measure(math.sqrt(good * bad)))
            good, bad = (tried[-1].rate, bad) if tried[-1].holds(p99_ms) else (good, tried[-1].rate)
    return Saturation(tried, good, bad is not None)

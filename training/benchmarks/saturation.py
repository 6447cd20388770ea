"""The highest rate a server holds: doubled until it breaks, then narrowed between the last good and the first bad."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias

from training.benchmarks.open_loop import LoadResult


@dataclass(frozen=True)
class Saturation:
    """What was tried, and the highest rate that held; None where none did.

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

    @property
    def lowest_tried(self) -> float:
        """Requests a second."""
        return min(result.rate for result in self.tried)

    @property
    def at_held(self) -> LoadResult | None:
        """What was measured at the rate that held."""
        return next((result for result in self.tried if result.rate == self.held), None)


# Gives a rate to be measured, takes what came of it, and ends with what was found.
RateSearch: TypeAlias = Generator[float, LoadResult, Saturation]


def search_rates(first_rate: float, p99_ms: float, doublings: int, narrowings: int, halvings: int = 0) -> RateSearch:
    """Double the rate from `first_rate` until it no longer holds, or halve it until it does; then geometric means.

    Args:
        first_rate: requests a second.
        p99_ms: see `LoadResult.holds`.
        doublings: at most; the first rate is measured besides.
        narrowings: each halves the interval on a scale of logarithms.
        halvings: at most, where not even the first rate holds.
    """
    tried = [(yield first_rate)]
    upwards = tried[0].holds(p99_ms)
    for _ in range(doublings if upwards else halvings):
        tried.append((yield tried[-1].rate * (2.0 if upwards else 0.5)))
        if tried[-1].holds(p99_ms) != upwards:
            break
    good = max((result.rate for result in tried if result.holds(p99_ms)), default=None)
    bad = min((result.rate for result in tried if not result.holds(p99_ms)), default=None)
    if good is not None and bad is not None:
        for _ in range(narrowings):
            tried.append((yield math.sqrt(good * bad)))
            good, bad = (tried[-1].rate, bad) if tried[-1].holds(p99_ms) else (good, tried[-1].rate)
    return Saturation(tried, good, bad is not None)


def step_by_step(search: RateSearch, measure: Callable[[float], LoadResult]) -> Generator[None, None, Saturation]:
    """A search that measures one rate at each step, so that others may take theirs in between."""
    rate = next(search)
    while True:
        result = measure(rate)
        try:
            rate = search.send(result)
        except StopIteration as end:
            found: Saturation = end.value
            return found
        yield

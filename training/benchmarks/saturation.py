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
        """What was measured at the rate that held: the last, where it took a second try."""
        return next((result for result in reversed(self.tried) if result.rate == self.held), None)


# A machine stalls at times, whoever is measured: one stall, of all requests at a rate, is no limit of the server.
_TRIES = 2

# Gives a rate to be measured, takes what came of it, and ends with what was found.
RateSearch: TypeAlias = Generator[float, LoadResult, Saturation]


def search_rates(first_rate: float, p99_ms: float, doublings: int, narrowings: int, halvings: int = 0) -> RateSearch:
    """Double the rate from `first_rate` until it no longer holds, or halve it until it does; then geometric means.

    A rate that does not hold is measured once more, and breaks only if it does not hold then either.

    Args:
        first_rate: requests a second.
        p99_ms: see `LoadResult.holds`.
        doublings: at most; the first rate is measured besides.
        narrowings: each halves the interval on a scale of logarithms.
        halvings: at most, where not even the first rate holds.
    """
    tried: list[LoadResult] = []
    rate = first_rate
    upwards = yield from _holds(rate, p99_ms, tried)
    good, bad = (rate, None) if upwards else (None, rate)
    for _ in range(doublings if upwards else halvings):
        rate *= 2.0 if upwards else 0.5
        holds = yield from _holds(rate, p99_ms, tried)
        good, bad = (rate, bad) if holds else (good, rate)
        if holds != upwards:
            break
    if good is not None and bad is not None:
        for _ in range(narrowings):
            rate = math.sqrt(good * bad)
            holds = yield from _holds(rate, p99_ms, tried)
            good, bad = (rate, bad) if holds else (good, rate)
    return Saturation(tried, good, bad is not None)


def _holds(rate: float, p99_ms: float, tried: list[LoadResult]) -> Generator[float, LoadResult, bool]:
    for _ in range(_TRIES):
        tried.append((yield rate))
        if tried[-1].holds(p99_ms):
            return True
    return False


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

"""RankingQueue: requests wait here, off the event loop, for the one thread that computes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from service.observability import Metrics
from uwe_core.errors import DeadlineError, OverloadedError, ShuttingDownError, TextError
from uwe_core.ranker import Rankings

# One piece of a request is computed without a pause; between pieces it may be given up. Two thousand characters are
# about one query at the encoder's limit, so a piece takes a second at most on two processors.
_PIECE_CHARS = 2000


class RankFunction(Protocol):
    """What computes: the ranker's `rank`."""

    def __call__(self, task_name: str, queries: Sequence[str], top_k: int | None) -> Rankings:
        """Rank."""
        ...


class RankingQueue:
    """One computing thread, since torch itself uses every processor; waiting is bounded in number and in time.

    Args:
        rank: what computes.
        metrics: told of waiting and of stages.
        max_waiting: requests accepted and not yet answered.
        deadline_seconds: after which a request is given up, waiting or between pieces.
    """

    def __init__(self, rank: RankFunction, metrics: Metrics, max_waiting: int, deadline_seconds: float) -> None:
        self._rank = rank
        self._metrics = metrics
        self._max_waiting = max_waiting
        self._deadline_seconds = deadline_seconds
        self._waiting = 0
        self._stop_at: float | None = None
        self.computing = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ranking")

    async def rank(self, task: str, queries: Sequence[str], top_k: int | None) -> Rankings:
        """Rank when its turn comes.

        Raises:
            OverloadedError: too many requests wait already.
            DeadlineError: its time was over before it was done.
            ShuttingDownError: the server went away before it was done.
        """
        if self._waiting >= self._max_waiting:
            raise OverloadedError(f"{self._waiting} requests wait already")
        accepted = time.monotonic()
        self._count(+1)
        try:
            # A request that is cancelled while it waits is dropped by the executor and costs nothing.
            work = self._thread.submit(self._compute, task, queries, top_k, accepted)
            rankings = await asyncio.wrap_future(work)
        finally:
            self._count(-1)
        self._metrics.observe_rankings(rankings)
        return rankings

    def drain(self, seconds: float) -> None:
        """From now on compute only so long what has been accepted, then give the rest up."""
        if self._stop_at is None:
            self._stop_at = time.monotonic() + seconds

    def close(self) -> None:
        """Take nothing more; what is computed now ends on its own."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _count(self, change: int) -> None:
        # Only ever called on the event loop, so no lock.
        self._waiting += change
        self._metrics.waiting.set(self._waiting)

    def _compute(self, task: str, queries: Sequence[str], top_k: int | None, accepted: float) -> Rankings:
        self._metrics.stage_seconds.labels("wait").observe(time.monotonic() - accepted)
        parts: list[Rankings] = []
        self.computing = True
        try:
            for start, piece in pieces(queries):
                self._give_up_in_time(accepted)
                try:
                    parts.append(self._rank(task, piece, top_k))
                except TextError as error:
                    raise error.moved(start) from error
        finally:
            self.computing = False
        return join(parts)

    def _give_up_in_time(self, accepted: float) -> None:
        now = time.monotonic()
        if self._stop_at is not None and now >= self._stop_at:
            raise ShuttingDownError("the server is shutting down")
        if now >= accepted + self._deadline_seconds:
            raise DeadlineError(f"not done within {self._deadline_seconds:g} seconds")


def pieces(queries: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """Consecutive queries of at most that many characters together, each piece with the position where it begins.

    A longer query is a piece of its own.
    """
    start = chars = 0
    for position, query in enumerate(queries):
        if position > start and chars + len(query) > _PIECE_CHARS:
            yield start, queries[start:position]
            start, chars = position, 0
        chars += len(query)
    yield start, queries[start:]


def join(parts: Sequence[Rankings]) -> Rankings:
    """The rankings of consecutive pieces as one; positions count over the whole request."""
    rankings = [ranking for part in parts for ranking in part.rankings]
    seconds: Counter[str] = Counter()
    truncations = []
    start = 0
    for part in parts:
        seconds.update(part.seconds)
        truncations += [replace(cut, position=cut.position + start) for cut in part.truncations]
        start += len(part.rankings)
    return Rankings(rankings, truncations, {stage: seconds[stage] for stage in parts[0].seconds})

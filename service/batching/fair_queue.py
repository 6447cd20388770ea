"""FairQueue: who is computed next, and with whom."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, TypeAlias

from service.batching.pending import Pending, PendingWork
from uwe_core.errors import DeadlineError, ShuttingDownError, UnavailableError

_Request: TypeAlias = PendingWork[Any, Any]

# Scores of one pass are held together, a row for each query; this bounds them where queries are short.
_QUERIES_PER_BATCH = 256
# Explanations are made one by one on the processor: so many take about as long as the tokens of a batch there.
_EXPLAINED_PER_BATCH = 256


class FairQueue:
    """Requests take turns, one text a turn, in the order in which they came.

    So a request of many long texts delays a small one by one text, not by all of them. Whatever waits when the
    computing thread is free makes the next batch, as far as the tokens of a batch go; nothing ever waits for company.

    Args:
        batch_tokens: bound of the tokens in one batch; a longer query is a batch of its own.
    """

    def __init__(self, batch_tokens: int) -> None:
        self._batch_tokens = batch_tokens
        self._requests: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._refusal: UnavailableError | None = None
        self._closed = False
        self._stop_at: float | None = None

    @property
    def texts(self) -> int:
        """Queries, and texts to be encoded alone, that wait."""
        with self._changed:
            return sum(request.texts_left for request in self._requests)

    @property
    def tokens(self) -> int:
        """Tokens of the texts that wait."""
        with self._changed:
            return sum(request.tokens_left for request in self._requests)

    def put(self, request: _Request) -> None:
        """Wait from now on.

        Raises:
            UnavailableError: nobody takes from this queue, because of this.
        """
        with self._changed:
            if self._refusal is not None:
                raise type(self._refusal)(*self._refusal.args)
            self._requests.append(request)
            self._changed.notify()

    def discard(self, request: _Request) -> None:
        """Wait no longer."""
        with self._changed:
            if request in self._requests:
                self._requests.remove(request)

    def take(self) -> list[Pending]:
        """The next batch, as soon as there is one; empty when the queue was closed."""
        with self._changed:
            while not self._closed:
                batch = self._batch()
                if batch:
                    return batch
                self._changed.wait()
            return []

    def stop_after(self, seconds: float) -> None:
        """Whoever waits longer than that from now is refused; the first call counts."""
        if self._stop_at is None:
            self._stop_at = time.monotonic() + seconds

    def refuse(self, error: UnavailableError) -> None:
        """Fail all who wait and, until `accept`, all who come."""
        with self._changed:
            self._refusal = error
            while self._requests:
                self._requests.popleft().fail(error)

    def accept(self) -> None:
        """Take requests again, unless the queue was closed."""
        with self._changed:
            if not self._closed:
                self._refusal = None

    def close(self) -> None:
        """Refuse everybody, and let the computing thread end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.refuse(ShuttingDownError("the server is shutting down"))

    def _batch(self) -> list[Pending]:
        batch: list[Pending] = []
        tokens = explained = 0
        while self._requests and len(batch) < _QUERIES_PER_BATCH:
            request = self._requests[0]
            self._give_up_in_time(request)
            if request.over:
                self._requests.popleft()
                continue
            tokens += request.next_tokens
            explained += request.next_explained
            if batch and (tokens > self._batch_tokens or explained > _EXPLAINED_PER_BATCH):
                break
            batch.append(request.take())
            self._requests.rotate(-1)
            if not request.texts_left:
                self._requests.pop()
        return batch

    def _give_up_in_time(self, request: _Request) -> None:
        now = time.monotonic()
        if self._stop_at is not None and now >= self._stop_at:
            request.fail(ShuttingDownError("the server is shutting down"))
        elif now >= request.deadline:
            request.fail(DeadlineError(f"not done in time: {request.texts_left} texts were not yet begun"))

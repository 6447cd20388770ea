"""Open loop: requests are sent when they are due, however long earlier ones take.

A client that waits for each answer sends nothing while the server stalls, and so leaves out just the requests that
would have waited (coordinated omission). Here a request's time runs from when it was meant to be sent, whether a
connection was free then or not.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import httpx

from training.benchmarks.percentiles import Summary, percentile, summarise

# Stands for a request without an answer: a refused or broken connection, or none in time.
NO_ANSWER = 0


@dataclass(frozen=True)
class Outcome:
    """One request; times in seconds since the run began.

    Attributes:
        due: when it was meant to be sent.
        sent: when it was.
        ended: when its answer was whole.
        status: of HTTP, or `NO_ANSWER`.
    """

    due: float
    sent: float
    ended: float
    status: int

    @property
    def seconds(self) -> float:
        """What a caller waits who wants an answer at `due`."""
        return self.ended - self.due


@dataclass(frozen=True)
class LoadResult:
    """What one rate came to.

    Attributes:
        rate: of requests meant a second.
        seconds: over which requests were due.
        outcomes: in the order they were due.
    """

    rate: float
    seconds: float
    outcomes: Sequence[Outcome]

    @property
    def statuses(self) -> dict[str, int]:
        """Requests by status; `no answer` among them."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        return {str(status) if status else "no answer": counts[status] for status in sorted(counts)}

    @property
    def answered(self) -> Summary | None:
        """Times of the requests that were answered with 200."""
        return summarise([outcome.seconds for outcome in self.outcomes if outcome.status == 200])

    @property
    def shed(self) -> Summary | None:
        """Times of the requests that were turned away with 503."""
        return summarise([outcome.seconds for outcome in self.outcomes if outcome.status == 503])

    @property
    def failures(self) -> int:
        """Requests that were neither answered nor turned away."""
        return sum(outcome.status not in (200, 503) for outcome in self.outcomes)

    @property
    def achieved(self) -> float:
        """Answers with 200 a second, until the last of all requests ended."""
        end = max([self.seconds, *(outcome.ended for outcome in self.outcomes)])
        return sum(outcome.status == 200 for outcome in self.outcomes) / end

    @property
    def most_at_once(self) -> int:
        """The most requests that were due and not ended at the same moment."""
        # an end at the moment of a beginning comes before it
        changes = sorted([(outcome.due, 1) for outcome in self.outcomes] + [(one.ended, -1) for one in self.outcomes])
        return max(accumulate((change for _, change in changes), initial=0))

    @property
    def waited_for_connection_ms(self) -> float:
        """99th percentile of how long after it was due a request was sent: connections were busy, or this client."""
        waits = [outcome.sent - outcome.due for outcome in self.outcomes]
        return 1000 * percentile(waits, 0.99) if waits else 0.0

    def holds(self, p99_ms: float) -> bool:
        """Whether every request was answered, 99 of 100 within the bound."""
        answered = self.answered
        return answered is not None and answered.count == len(self.outcomes) and answered.p99 <= p99_ms


@dataclass(frozen=True)
class Caller:
    """Where and how requests are sent.

    Attributes:
        url: of the route.
        connections: open at a time; a request that finds none waits for one.
        timeout: seconds until a request is given up, from when it was sent.
    """

    url: str
    connections: int = 32
    timeout: float = 15.0

    def send(self, bodies: Sequence[Any], due: Sequence[float], rate: float, seconds: float) -> LoadResult:
        """Send request `i` with JSON body `bodies[i % len(bodies)]` at `due[i]` seconds from now."""
        outcomes = asyncio.run(self._send_all(bodies, due))
        return LoadResult(rate, seconds, outcomes)

    async def _send_all(self, bodies: Sequence[Any], due: Sequence[float]) -> list[Outcome]:
        async with AsyncExitStack() as stack:
            # A client for each connection: one client for all would go through all its requests at each of them.
            idle: asyncio.LifoQueue[httpx.AsyncClient] = asyncio.LifoQueue()
            for _ in range(min(self.connections, max(1, len(due)))):
                transport = httpx.AsyncHTTPTransport(verify=False)
                client = httpx.AsyncClient(transport=transport, timeout=self.timeout, trust_env=False)
                idle.put_nowait(await stack.enter_async_context(client))
            start = time.perf_counter()
            tasks = []
            for place, at in enumerate(due):
                await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
                tasks.append(asyncio.create_task(self._send(idle, bodies[place % len(bodies)], at, start)))
            return list(await asyncio.gather(*tasks))

    async def _send(self, idle: asyncio.LifoQueue[httpx.AsyncClient], body: Any, due: float, start: float) -> Outcome:
        client = await idle.get()
        sent = time.perf_counter() - start
        try:
            status = (await client.post(self.url, json=body)).status_code
        except httpx.TransportError:
            status = NO_ANSWER
        finally:
            idle.put_nowait(client)
        return Outcome(due, sent, time.perf_counter() - start, status)

"""Many callers who do not wait for one another, up to and beyond what a server holds; several servers take turns."""

from __future__ import annotations

import statistics
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from training.benchmarks.arrivals import ArrivalKind, arrival_times
from training.benchmarks.computed import Computed
from training.benchmarks.open_loop import Caller, LoadResult
from training.benchmarks.percentiles import Ratio
from training.benchmarks.processes import busy_cores
from training.benchmarks.saturation import Saturation, search_rates, step_by_step
from uwe_core.device import cpu_quota

# A run may answer what it accepted after its last request is due; the neighbours must keep busy until then.
_TAIL_SECONDS = 20.0
# Longer than a server without a bound needs for what it took in, which it computes though nobody waits any more.
_SETTLE_SECONDS = 60.0
# At low rates more seconds are given, so that a 99th percentile is not the worst of a handful.
_LONGEST_SECONDS = 20.0

# Told of each row when it is measured.
Tell = Callable[[str, "LoadRow"], None]


@dataclass(frozen=True)
class LoadPlan:
    """How a server is loaded.

    Attributes:
        rates: fixed ones to measure before the search, requests a second.
        first_rate: the search begins with it.
        p99_ms: that a rate must keep.
        seconds: over which requests are due, at each rate.
        rounds: searches; the later ones begin at half of what held before.
        connections: open at a time.
        kind: of arrivals.
        doublings: of the rate, at most.
        halvings: of the rate, at most, where the first does not hold.
        narrowings: between the last rate that held and the first that did not.
        beyond: times the rate that broke, to see what is turned away and how.
        least_requests: at one rate, as far as 20 seconds go.
        most_requests: at one rate; its seconds are cut to keep this.
        busy: whether to measure once beside processes that keep all cores busy.
    """

    rates: Sequence[float] = ()
    first_rate: float = 8.0
    p99_ms: float = 250.0
    seconds: float = 5.0
    rounds: int = 1
    connections: int = 256
    kind: ArrivalKind = "poisson"
    doublings: int = 10
    halvings: int = 4
    narrowings: int = 3
    beyond: float = 2.0
    least_requests: int = 100
    most_requests: int = 20_000
    busy: bool = True

    def seconds_at(self, rate: float) -> float:
        """How long requests are due at a rate."""
        longer = max(self.seconds, min(self.least_requests / rate, _LONGEST_SECONDS))
        return min(longer, self.most_requests / rate)


@dataclass(frozen=True)
class LoadRow:
    """One measured rate, why it was measured, in which round, and what the server says of it."""

    name: str
    result: LoadResult
    turn: int = 0
    computed: Computed | None = None


class LoadRun:
    """Loads one server, row by row.

    Args:
        name: in tables.
        note: what a reader must know to compare it.
        caller: of the server.
        bodies: of requests, taken in turn.
        plan: how it is loaded.
        tell: of each row.
        computed: asks the server what it has computed so far.
    """

    def __init__(
        self,
        name: str,
        note: str,
        caller: Caller,
        bodies: Sequence[Any],
        plan: LoadPlan,
        tell: Tell,
        computed: Callable[[], Computed | None] = lambda: None,
    ) -> None:
        self.name = name
        self.note = note
        self._caller = caller
        self._bodies = list(bodies)
        self._plan = plan
        self._tell = tell
        self._computed = computed
        self.rows: list[LoadRow] = []
        self.found: list[Saturation] = []

    def measure(self, name: str, rate: float, turn: int = 0) -> LoadResult:
        """Load the server at a rate: in the same round and at the same rate all servers get the same requests."""
        seconds = self._plan.seconds_at(rate)
        seed = zlib.crc32(f"{turn} {rate:.6g}".encode())
        due = arrival_times(self._plan.kind, rate, seconds, seed)
        start = seed % len(self._bodies)
        before = self._computed()
        result = self._caller.send(self._bodies[start:] + self._bodies[:start], due, rate, seconds)
        after = self._computed()
        computed = None if before is None or after is None else after.since(before)
        self.rows.append(LoadRow(name, result, turn, computed))
        self._tell(self.name, self.rows[-1])
        if not result.holds(self._plan.p99_ms):
            self._settle()
        return result

    def search(self, turn: int = 0) -> Iterator[None]:
        """Find what holds, a rate at each step."""
        plan = self._plan
        first = self.held / 2 if self.held else plan.first_rate
        search = search_rates(first, plan.p99_ms, plan.doublings, plan.narrowings, plan.halvings)
        found = yield from step_by_step(search, lambda rate: self.measure("search", rate, turn))
        self.found.append(found)

    def beyond(self) -> None:
        """Load it far above what broke it."""
        if any(found.broke for found in self.found):
            highest = max(found.highest_tried for found in self.found)
            self.measure(f"{self._plan.beyond:g} times the rate that broke", self._plan.beyond * highest)

    def calm(self) -> None:
        """Load it with half of what it holds, and once more beside busy neighbours."""
        rate = (self.held or self._plan.first_rate) / 2
        self.measure("half of what it holds", rate)
        if self._plan.busy:
            with busy_cores(cpu_quota(), self._plan.seconds_at(rate) + _TAIL_SECONDS):
                self.measure(f"the same beside {cpu_quota()} busy cores", rate)

    @property
    def held(self) -> float | None:
        """The median of the rates that held, over rounds; None where there was none in at least half of them."""
        if not self.found:
            return None
        return statistics.median_low([found.held or 0.0 for found in self.found]) or None

    def times(self, other: LoadRun) -> Ratio | None:
        """How many times the rate of another one this holds, by round; None where one of them held none in a round."""
        pairs = [(own.held, its.held) for own, its in zip(self.found, other.found, strict=True)]
        ratios = [own / its for own, its in pairs if own is not None and its is not None]
        if len(ratios) < len(pairs) or not ratios:
            return None
        return Ratio(statistics.median(ratios), min(ratios), max(ratios))

    def _settle(self) -> None:
        """Wait until what was taken in above saturation is done, so that whoever is next has the machine."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < deadline:
            if self._caller.send(self._bodies[:1], [0.0], 1, 1).holds(self._plan.p99_ms):
                return
            time.sleep(0.1)


def load_in_turns(runs: Sequence[LoadRun], plan: LoadPlan) -> None:
    """Fixed rates, the searches, beyond them, calm again, and beside busy cores.

    The searches go rate by rate, one of each server after the other, and in each round another one begins.
    """
    for rate in plan.rates:
        for run in runs:
            run.measure("fixed rate", rate)
    for turn in range(plan.rounds):
        first = turn % len(runs)
        searches = [run.search(turn) for run in [*runs[first:], *runs[:first]]]
        for _ in zip_longest(*searches):
            pass
    for run in runs:
        run.beyond()
        run.calm()

"""Closed loop: one client that waits for each answer; contestants take turns, round by round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from training.benchmarks.contestants import Answer, Contestant
from training.benchmarks.percentiles import Ratio, Summary, ratio, summarise

# Told how many rounds are done, of how many.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Rounds:
    """How long to measure.

    Attributes:
        rounds: at most.
        queries: that each contestant is asked in a round; the same for all.
        warm_up: queries that are asked before, and not counted.
        seconds: after which no further round begins; one is always measured.
    """

    rounds: int = 10
    queries: int = 20
    warm_up: int = 10
    seconds: float = 240.0

    @property
    def texts(self) -> int:
        """How many queries are needed so that none is asked twice."""
        return self.warm_up + self.rounds * self.queries


@dataclass
class Measured:
    """The answers of one contestant, by round."""

    name: str
    note: str
    rounds: list[list[Answer]] = field(default_factory=list)

    @property
    def seconds(self) -> list[list[float]]:
        """Times by round."""
        return [[answer.seconds for answer in answers] for answers in self.rounds]

    @property
    def all_seconds(self) -> list[float]:
        """Times of all rounds."""
        return [seconds for taken in self.seconds for seconds in taken]

    @property
    def summary(self) -> Summary:
        """Of all rounds."""
        summary = summarise(self.all_seconds)
        assert summary is not None  # noqa: S101 - there is always a round
        return summary

    def over(self, base: Measured) -> Ratio:
        """How many times as long this takes as `base`."""
        return ratio(self.seconds, base.seconds)


def take_turns(
    contestants: Sequence[Contestant],
    texts: Sequence[str],
    plan: Rounds,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> list[Measured]:
    """Ask every contestant the same queries; in each round another one begins, so that no place is better for long.

    Args:
        contestants: at least one.
        texts: `plan.texts` of them.
        plan: how long.
        progress: told of finished rounds.
        clock: seconds, for the limit.
    """
    deadline = clock() + plan.seconds
    for contestant in contestants:
        for text in texts[: plan.warm_up]:
            contestant.ask(text)
    measured = [Measured(contestant.name, contestant.note) for contestant in contestants]
    for number in range(plan.rounds):
        if number and clock() >= deadline:
            break
        start = plan.warm_up + number * plan.queries
        queries = texts[start : start + plan.queries]
        first = number % len(contestants)
        for place in [*range(first, len(contestants)), *range(first)]:
            measured[place].rounds.append([contestants[place].ask(query) for query in queries])
        if progress is not None:
            progress(number + 1, plan.rounds)
    return measured

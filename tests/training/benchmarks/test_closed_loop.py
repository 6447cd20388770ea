"""Turns: everyone is asked the same, nobody is always first, and time is bounded."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest

from training.benchmarks.agreement import same_ranking, share_of_same
from training.benchmarks.closed_loop import Rounds, take_turns
from training.benchmarks.contestants import Answer, AskedAgain


@dataclass
class Recorder:
    """Writes down who was asked what."""

    name: str
    diary: list[tuple[str, str]]
    note: str = ""
    seconds: float = 0.5
    asked: list[str] = field(default_factory=list)

    def ask(self, query: str) -> Answer:
        self.diary.append((self.name, query))
        self.asked.append(query)
        return Answer(self.seconds, [("a", 1.0)])


def test_all_are_asked_the_same_queries_once_and_take_turns_in_going_first() -> None:
    diary: list[tuple[str, str]] = []
    contestants = [Recorder(name, diary) for name in "xyz"]
    plan = Rounds(rounds=4, queries=2, warm_up=3)
    texts = [f"query {number}" for number in range(plan.texts)]
    done: list[tuple[int, int]] = []
    measured = take_turns(contestants, texts, plan, lambda *progress: done.append(progress))
    assert all(contestant.asked == texts for contestant in contestants)
    rounds = [name for name, _ in diary[9:]][::2]
    assert "".join(rounds) == "xyz" + "yzx" + "zxy" + "xyz"
    assert [len(one.rounds) for one in measured] == [4, 4, 4]
    assert all(one.summary.count == 8 for one in measured)  # the warm-up is not counted
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_no_round_begins_after_the_time_is_over_and_one_is_always_measured() -> None:
    clock = itertools.count(0.0, 10.0)
    (measured,) = take_turns([Recorder("x", [])], ["a"] * 10, Rounds(9, 1, 1, seconds=25), clock=lambda: next(clock))
    assert len(measured.rounds) == 3
    clock = itertools.count(0.0, 10.0)
    (measured,) = take_turns([Recorder("x", [])], ["a"] * 10, Rounds(9, 1, 1, seconds=1), clock=lambda: next(clock))
    assert len(measured.rounds) == 1


def test_the_row_of_caches_asks_everything_twice() -> None:
    recorder = Recorder("x", [])
    assert AskedAgain("again", recorder).ask("nurse").seconds == 0.5
    assert recorder.asked == ["nurse", "nurse"]


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ([("a", 3.0), ("b", 2.0), ("c", 1.0)], True),
        ([("a", 3.00001), ("b", 2.0), ("c", 1.0)], True),
        ([("a", 3.0), ("c", 2.0), ("b", 1.0)], False),
        ([("a", 3.0), ("b", 2.0), ("d", 1.0)], True),  # a tie at the end: which of two is last is open
        ([("a", 3.0), ("b", 2.0), ("c", 1.1)], False),
        ([("a", 3.0), ("b", 2.0)], False),
    ],
)
def test_rankings_are_the_same_but_for_scores_that_rounding_cannot_tell_apart(
    other: list[tuple[str, float]], same: bool
) -> None:
    assert same_ranking([("a", 3.0), ("b", 2.0), ("c", 1.0)], other) is same
    assert same_ranking([("a", 2.0), ("b", 2.0)], [("b", 2.0), ("a", 2.0)])


def test_the_share_of_same_rankings() -> None:
    assert share_of_same([[("a", 1.0)], [("a", 1.0)]], [[("a", 1.0)], [("a", 2.0)]]) == 0.5

"""Open loop: what a stalled server does to requests that were due meanwhile, statuses, and the search for a rate."""

from __future__ import annotations

import pytest

from tests.training.benchmarks.stub_server import stub_service
from training.benchmarks.arrivals import arrival_times
from training.benchmarks.closed_loop import Rounds, take_turns
from training.benchmarks.contestants import kept_open, service_contestant
from training.benchmarks.load import LoadPlan, LoadRun, load_report, saturation_in_words
from training.benchmarks.open_loop import NO_ANSWER, Caller, LoadResult, Outcome
from training.benchmarks.saturation import find_saturation

BODIES = [{"query": "nurse"}, {"query": "welder"}]


def test_requests_that_were_due_while_the_server_stalled_count_their_wait() -> None:
    """A stall of 0.6 s at 100 requests a second: the open loop sees some 60 slow answers, the closed one a single."""
    with stub_service(stall_at=20, stall_seconds=0.6) as server:
        result = Caller(f"{server.url}/rank/job2skill", connections=4).send(
            BODIES, arrival_times("uniform", 100, 1.2), 100, 1.2
        )
    assert result.statuses == {"200": 120}
    slow = [outcome for outcome in result.outcomes if outcome.seconds > 0.1]
    assert 40 <= len(slow) <= 110
    answered = result.answered
    assert answered is not None
    assert answered.worst >= 590
    assert answered.p95 > 300
    assert result.waited_for_connection_ms > 300  # there were only four, all of them waiting
    assert [outcome.due for outcome in result.outcomes] == [number / 100 for number in range(120)]

    with stub_service(stall_at=20, stall_seconds=0.6) as server, kept_open(server.url) as client:
        contestant = service_contestant("stub", client, "job2skill", 10)
        (measured,) = take_turns([contestant], ["nurse"] * 120, Rounds(1, 110, warm_up=10))
    assert sum(seconds > 0.5 for seconds in measured.all_seconds) == 1
    assert measured.summary.p95 < 300


def test_what_is_turned_away_and_what_finds_nobody_is_told_apart() -> None:
    with stub_service(stall_at=0, stall_seconds=0.3, most_waiting=3) as server:
        url = f"{server.url}/rank/job2skill"
        result = Caller(url, connections=16).send(BODIES, [0.0] * 16, 16, 0.1)
    assert result.statuses == {"200": 3, "503": 13}
    assert result.failures == 0
    assert result.shed is not None
    assert not result.holds(10_000)
    gone = Caller(url, connections=2).send(BODIES, [0.0, 0.01], 2, 0.1)
    assert gone.statuses == {"no answer": 2}
    assert gone.failures == 2
    assert gone.answered is None
    assert gone.achieved == 0


def result_at(rate: float, p99_ms: float, status: int = 200) -> LoadResult:
    return LoadResult(rate, 1.0, [Outcome(0.0, 0.0, p99_ms / 1000, status)] * 10)


def server_that_holds(limit: float) -> list[float]:
    tried: list[float] = []

    def measure(rate: float) -> LoadResult:
        tried.append(rate)
        return result_at(rate, 10 if rate <= limit else 1000)

    found = find_saturation(measure, 8, 250, doublings=6, narrowings=3)
    assert [result.rate for result in found.tried] == tried
    return [*tried, found.held or 0, float(found.broke)]


def test_the_rate_is_doubled_until_it_breaks_and_then_narrowed() -> None:
    *tried, held, broke = server_that_holds(100)
    assert tried[:5] == [8, 16, 32, 64, 128]
    assert broke
    assert 64 * 2 ** (1 / 2) <= held <= 100
    assert held == max(rate for rate in tried if rate <= 100)


@pytest.mark.parametrize(("limit", "held", "broke", "rates"), [(1, 0, 1, 1), (10**6, 8 * 2**6, 0, 7)])
def test_a_rate_that_never_holds_and_one_that_never_breaks_end_the_search(
    limit: float, held: float, broke: float, rates: int
) -> None:
    *tried, found_held, found_broke = server_that_holds(limit)
    assert (len(tried), found_held, found_broke) == (rates, held, broke)


@pytest.mark.parametrize("status", [503, 500, NO_ANSWER])
def test_a_rate_at_which_anything_is_not_answered_does_not_hold(status: int) -> None:
    assert result_at(1, 10).holds(250)
    assert not result_at(1, 10, status).holds(250)


def test_a_whole_run_goes_beyond_what_holds_comes_back_and_is_reported() -> None:
    plan = LoadPlan(rates=(20.0,), first_rate=40, p99_ms=150, seconds=0.3, doublings=1, narrowings=0, busy=False)
    said: list[str] = []
    with stub_service(stall_at=15, stall_seconds=0.4) as server:
        run = LoadRun(Caller(f"{server.url}/rank/job2skill"), ["nurse", "welder", "baker"], 5, plan, said.append)
        found = run.whole()
        asked = server.queries
    assert [row.name for row in run.rows][:2] == ["fixed rate", "search"]
    assert run.rows[-1].name == "half of what it holds"
    assert len(said) == len(run.rows)
    assert found.broke  # the stall falls into the search
    assert set(asked) == {"nurse", "welder", "baker"}
    report = load_report(run.rows, found, plan, {"machine": "this"})
    assert len(report.grids[0].rows) == len(report.figures["rows"]) == len(run.rows)
    assert saturation_in_words(found, plan) in report.markdown()

"""Open loop: what a stalled server does to requests that were due meanwhile, statuses, and the search for a rate."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.benchmarks.stub_server import stub_service
from training.benchmarks.agreement import share_of_shared
from training.benchmarks.arrivals import arrival_times
from training.benchmarks.closed_loop import Rounds, take_turns
from training.benchmarks.compare import chosen_peers
from training.benchmarks.contestants import kept_open, service_contestant
from training.benchmarks.latency import Question
from training.benchmarks.load import LoadPlan, LoadRow, LoadRun, load_in_turns
from training.benchmarks.load_report import load_report, saturation_in_words
from training.benchmarks.load_servers import measure_load
from training.benchmarks.open_loop import NO_ANSWER, Caller, LoadResult, Outcome
from training.benchmarks.saturation import Saturation, search_rates, step_by_step
from uwe_core.errors import InputError

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

    steps = step_by_step(search_rates(8, 250, doublings=6, narrowings=3, halvings=2), measure)
    found = Saturation([], None, broke=False)
    for number in range(1, 30):
        try:
            next(steps)
        except StopIteration as end:
            found = end.value
            break
        assert len(tried) == number  # one rate at a step
    assert [result.rate for result in found.tried] == tried
    assert found.held == (None if found.at_held is None else found.at_held.rate)
    return [*tried, found.held or 0, float(found.broke)]


def test_the_rate_is_doubled_until_it_breaks_and_then_narrowed() -> None:
    *tried, held, broke = server_that_holds(100)
    assert tried[:6] == [8, 16, 32, 64, 128, 128]
    assert broke
    assert 64 * 2 ** (1 / 2) <= held <= 100
    assert held == max(rate for rate in tried if rate <= 100)


@pytest.mark.parametrize(
    ("limit", "held", "broke", "rates"),
    [(1, 0, 1, [8, 8, 4, 4, 2, 2]), (10**6, 8 * 2**6, 0, [8 * 2**step for step in range(7)])],
)
def test_a_rate_that_never_holds_and_one_that_never_breaks_end_the_search(
    limit: float, held: float, broke: float, rates: list[float]
) -> None:
    assert server_that_holds(limit) == [*rates, held, broke]


def test_where_the_first_rate_is_too_much_lower_ones_are_tried() -> None:
    *tried, held, broke = server_that_holds(3)
    assert tried[:5] == [8, 8, 4, 4, 2]
    assert broke
    assert 2 * 2 ** (1 / 2) <= held <= 3


def test_a_stall_breaks_no_rate() -> None:
    """Every third measurement is slow, whatever the rate: the limit is found all the same."""
    search = search_rates(8, 250, doublings=6, narrowings=3)
    rate, measured = next(search), 0
    while True:
        measured += 1
        slow = rate > 100 or measured % 3 == 0
        try:
            rate = search.send(result_at(rate, 1000 if slow else 10))
        except StopIteration as end:
            found: Saturation = end.value
            break
    assert found.held is not None
    assert 64 * 2 ** (1 / 2) <= found.held <= 100
    assert found.at_held is not None
    assert found.at_held.holds(250)


@pytest.mark.parametrize("status", [503, 500, NO_ANSWER])
def test_a_rate_at_which_anything_is_not_answered_does_not_hold(status: int) -> None:
    assert result_at(1, 10).holds(250)
    assert not result_at(1, 10, status).holds(250)


def silent(server: str, row: LoadRow) -> None:
    """Nobody watches."""


def run_of(name: str, url: str, plan: LoadPlan, told: list[tuple[str, float]] | None = None) -> LoadRun:
    def tell(server: str, row: LoadRow) -> None:
        if told is not None:
            told.append((server, row.result.rate))

    bodies = [{"query": query} for query in ("nurse", "welder", "baker")]
    return LoadRun(name, "how", Caller(f"{url}/rank/job2skill"), bodies, plan, tell)


def test_a_whole_run_goes_beyond_what_holds_comes_back_and_is_reported() -> None:
    plan = LoadPlan(
        rates=(20.0,), first_rate=40, p99_ms=150, seconds=0.3, doublings=1, halvings=0, narrowings=0,
        least_requests=1, busy=False,
    )  # fmt: skip
    told: list[tuple[str, float]] = []
    with stub_service(seconds_each=0.05) as server:
        run = run_of("service", server.url, plan, told)
        load_in_turns([run], plan)
        asked = server.queries
    assert [row.name for row in run.rows][:2] == ["fixed rate", "search"]
    assert run.rows[-1].name == "half of what it holds"
    assert told == [("service", row.result.rate) for row in run.rows]
    assert run.found[0].broke  # 40 a second take 2 seconds of each
    assert set(asked) == {"nurse", "welder", "baker"}
    report = load_report([run], plan, {"machine": "this"})
    (figures,) = report.figures["servers"]
    assert len(report.grids[1].rows) == len(figures["rows"]) == len(run.rows)
    assert saturation_in_words(run, plan) in report.markdown()
    report.plots["rates"]()


def test_two_servers_take_turns_at_the_same_requests_and_their_rates_are_compared() -> None:
    plan = LoadPlan(
        first_rate=20, p99_ms=200, seconds=0.3, rounds=2, doublings=1, halvings=0, narrowings=0, least_requests=1,
        busy=False,
    )  # fmt: skip
    told: list[tuple[str, float]] = []
    with stub_service() as quick, stub_service(seconds_each=0.1) as slow:
        runs = [run_of("quick", quick.url, plan, told), run_of("slow", slow.url, plan, told)]
        load_in_turns(runs, plan)
        first = sum(len(row.result.outcomes) for row in runs[0].rows[:1])
        assert quick.queries[:first] == slow.queries[:first]
    assert [name for name, _ in told[:3]] == ["quick", "slow", "quick"]  # the search of the slow one has ended
    assert [outcome.due for outcome in runs[0].rows[0].result.outcomes] == [
        outcome.due for outcome in runs[1].rows[0].result.outcomes
    ]
    assert runs[0].held == 40
    report = load_report(runs, plan, {}, {"quick": 1.0, "slow": 0.5}, {"absent": "no wheel"})
    assert [grid.title for grid in report.grids] == [
        "What holds", "Many callers: quick", "Many callers: slow", "Not measured",
    ]  # fmt: skip
    assert report.figures["servers"][0]["unanswered_up_to_held"] == 0
    assert "50%" in report.grids[0].rows[1]
    report.plots["rates"]()


def run_that_held(*rates: float | None) -> LoadRun:
    run = run_of("one", "http://nowhere", LoadPlan())
    run.found = [Saturation([result_at(rate or 1, 10 if rate else 900)], rate, broke=True) for rate in rates]
    return run


def test_the_ratio_is_by_round_and_there_is_none_where_nothing_held() -> None:
    service, slow = run_that_held(100, 120, 90), run_that_held(20, 15, 18)
    ratio = service.times(slow)
    assert ratio is not None
    assert (ratio.median, ratio.lowest, ratio.highest) == (5, 5, 8)
    assert service.held == 100
    never = run_that_held(None, None, 2)
    assert never.held is None
    assert service.times(never) is None
    report = load_report([service, never], LoadPlan(), {})
    assert report.grids[0].rows[1][1:5] == ["none", "none, none, 2", "10.0", "none of one"]
    assert "not even 1 requests a second hold" in report.markdown()
    assert report.figures["servers"][1]["first_holds_times_this"] is None


def test_errors_below_and_above_what_holds_are_told_apart() -> None:
    run = run_that_held(10)
    run.rows = [LoadRow("search", result_at(*each)) for each in ((5, 9, 503), (10, 9), (20, 9, 503), (20, 9, 500))]
    run.rows.append(LoadRow("the same beside 2 busy cores", result_at(5, 9, 500)))
    (figures,) = load_report([run], LoadPlan(), {}).figures["servers"]
    assert (figures["unanswered_up_to_held"], figures["turned_away_above"], figures["failed_above"]) == (10, 10, 10)


def test_low_rates_are_given_longer_and_high_ones_shorter() -> None:
    plan = LoadPlan(seconds=6, least_requests=100, most_requests=2000)
    assert [plan.seconds_at(rate) for rate in (1, 8, 50, 1000)] == [20, 12.5, 6, 2]


def test_the_most_at_once_counts_from_when_requests_were_due() -> None:
    outcomes = [Outcome(0.0, 0.5, 1.0, 200), Outcome(0.1, 0.1, 0.2, 200), Outcome(0.2, 0.9, 1.1, 200)]
    assert LoadResult(3, 1.0, outcomes).most_at_once == 2
    assert LoadResult(3, 1.0, []).most_at_once == 0


def test_shared_targets_count_wherever_they_stand() -> None:
    ones = [[("a", 2.0), ("b", 1.0)], [("a", 2.0), ("b", 1.0)]]
    assert share_of_shared(ones, [[("b", 9.0), ("a", 8.0)], [("a", 1.0), ("c", 0.5)]]) == 0.75


def test_only_servers_that_answer_by_themselves_can_be_loaded() -> None:
    question = Question("job2skill", "sample", "sample", Path())
    with pytest.raises(InputError, match="'faiss' does not answer requests by itself"):
        measure_load(question, "embedded", [], chosen_peers(["obvious", "faiss"]), Path(), LoadPlan(), silent)

"""Percentiles and ratios, against definitions written out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.benchmarks.percentiles import percentile, ratio, summarise

TIMES = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=200)


@given(TIMES, st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_enough_others_do_not_exceed(values: list[float], percent: int) -> None:
    found = percentile(values, percent / 100)
    enough = [value for value in values if 100 * sum(other <= value for other in values) >= percent * len(values)]
    assert found == min(enough)


@given(TIMES)
def test_a_summary_is_ordered_and_in_milliseconds(values: list[float]) -> None:
    summary = summarise(values)
    assert summary is not None
    assert min(values) * 1000 <= summary.p50 <= summary.p95 <= summary.p99 <= summary.worst == max(values) * 1000
    assert summary.count == len(values)
    assert summary.mean == pytest.approx(1000 * sum(values) / len(values))


def test_of_a_hundred_times_the_percentiles_are_those_by_number() -> None:
    summary = summarise([number / 1000 for number in range(100, 0, -1)])
    assert summary is not None
    assert (summary.p50, summary.p95, summary.p99) == pytest.approx((50, 95, 99))
    assert summarise([]) is None


def test_a_round_in_which_all_were_slow_does_not_move_the_ratio() -> None:
    ours, others = [[1.0, 1.0], [50.0, 50.0], [1.0, 1.0]], [[2.0, 2.0], [100.0, 100.0], [4.0, 4.0]]
    found = ratio(others, ours)
    assert (found.median, found.lowest, found.highest) == (2, 2, 4)

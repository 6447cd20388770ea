"""Arrivals: as many as the rate says, ascending, within the time, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.benchmarks.arrivals import ArrivalKind, arrival_times


@given(st.sampled_from(["poisson", "uniform"]), st.floats(0.1, 2000), st.floats(0.01, 3), st.integers(0, 99))
def test_arrivals_ascend_within_the_time_and_can_be_repeated(
    kind: ArrivalKind, rate: float, seconds: float, seed: int
) -> None:
    times = arrival_times(kind, rate, seconds, seed)
    assert times == sorted(times)
    assert all(0 <= time < seconds for time in times)
    assert times == arrival_times(kind, rate, seconds, seed)


@given(st.floats(0.1, 2000), st.floats(0.01, 3))
def test_uniform_arrivals_are_evenly_apart_and_leave_no_room_for_another(rate: float, seconds: float) -> None:
    times = arrival_times("uniform", rate, seconds)
    assert times[0] == 0
    assert np.diff(times) == pytest.approx(1 / rate)
    assert times[-1] + 1 / rate >= seconds - 1e-9


def test_poisson_arrivals_keep_the_rate_and_their_gaps_spread_as_much_as_their_mean() -> None:
    times = arrival_times("poisson", 500, 40, seed=1)
    assert len(times) == pytest.approx(20_000, rel=0.03)
    gaps = np.diff(times)
    assert gaps.mean() == pytest.approx(1 / 500, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # as an exponential distribution has it
    assert times != arrival_times("poisson", 500, 40, seed=2)

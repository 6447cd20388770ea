"""Means over seeds and their intervals, beside a slower reading of the same definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ablations.estimate import Estimate


def test_three_runs_by_hand() -> None:
    """Student's quantile of two degrees of freedom is 4.30265."""
    found = Estimate.of([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.standard_error == pytest.approx(1 / math.sqrt(3))
    assert found.half_width == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)
    assert found.text(found.half_width) == "2.00 ± 2.48"
    assert found.text(None, signed=True) == "+2.00"


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=8))
def test_the_interval_is_that_of_scipys_distribution(values: list[float]) -> None:
    from scipy import stats

    found = Estimate.of(values)
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    quantile = stats.t(df=len(values) - 1).ppf(0.975)
    assert found.runs == len(values)
    assert found.standard_error == pytest.approx(error, rel=1e-9, abs=1e-9)
    assert found.half_width == pytest.approx(quantile * error, rel=1e-9, abs=1e-9)


def test_a_single_run_has_no_interval() -> None:
    found = Estimate.of([7.5])
    assert (found.standard_error, found.half_width) == (None, None)
    assert found.text(found.half_width) == "7.50"


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(2000, 5))
    held = [abs(found.mean - 3.0) <= (found.half_width or 0.0) for found in map(Estimate.of, draws.tolist())]
    assert 0.93 < np.mean(held) < 0.97

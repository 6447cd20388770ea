"""Planning steps by the clock: what is planned fits, one more would not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwe_core.errors import ConfigurationError
from uwe_core.trainer.step_plan import MEASURED_STEPS, UNMEASURED_STEPS, seconds_per_step, steps_within


def seconds_of(steps: int, per_step: float, per_pause: float, every: int) -> float:
    return steps * per_step + -(-steps // every) * per_pause


@given(seconds=st.floats(0, 1e4), per_step=st.floats(0.01, 10), per_pause=st.floats(0, 100), every=st.integers(1, 100))
def test_as_many_steps_are_planned_as_fit(seconds: float, per_step: float, per_pause: float, every: int) -> None:
    if seconds_of(1, per_step, per_pause, every) > seconds:
        with pytest.raises(ConfigurationError, match="no step fits"):
            steps_within(seconds, per_step, per_pause, every)
        return
    steps = steps_within(seconds, per_step, per_pause, every)
    assert seconds_of(steps, per_step, per_pause, every) <= seconds * (1 + 1e-9)
    assert seconds_of(steps + 1, per_step, per_pause, every) > seconds * (1 - 1e-9)


def test_no_more_steps_are_tried_than_are_measured() -> None:
    import torch

    tried = iter([None] * (UNMEASURED_STEPS + MEASURED_STEPS))
    assert seconds_per_step(tried, torch.device("cpu")) >= 0
    assert next(tried, "none left") == "none left"

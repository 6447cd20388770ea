"""The learning rate: the golden numbers, and what holds of every schedule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwe_core.trainer.schedule import learning_rate_at

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/formulas.json").read_text())["schedule"]


@pytest.mark.parametrize(
    ("steps", "rates"),
    [
        (GOLDEN["steps_floor"], GOLDEN["lr_at"]),
        (600, GOLDEN["ablation_600"]["lr_at"]),
        (300, GOLDEN["transfer_300"]["lr_at"]),
    ],
)
def test_the_golden_rates(steps: int, rates: dict[str, float]) -> None:
    for step, rate in rates.items():
        assert learning_rate_at(int(step), steps, GOLDEN["peak_lr"], 0.1) == pytest.approx(rate, rel=1e-12)


@given(steps=st.integers(1, 300), share=st.floats(0, 1))
def test_the_rate_rises_to_the_peak_and_falls_to_nothing(steps: int, share: float) -> None:
    rates = [learning_rate_at(step, steps, 2.0, share) for step in range(steps + 1)]
    top = rates.index(max(rates))
    assert rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)
    assert all(0 <= rate <= 2.0 for rate in rates)
    assert rates[-1] == 0

"""When requests are meant to be sent: fixed before the run, whatever the server does."""

from __future__ import annotations

from typing import Literal

import numpy as np

ArrivalKind = Literal["poisson", "uniform"]


def arrival_times(kind: ArrivalKind, rate: float, seconds: float, seed: int = 0) -> list[float]:
    """Ascending times in `[0, seconds)` at a mean of `rate` a second.

    Args:
        kind: `uniform` leaves the same time between any two; `poisson` draws it, as callers that know nothing of
            each other do, so that some come in bursts.
        rate: above 0.
        seconds: above 0.
        seed: of the draw.
    """
    if kind == "uniform":
        times = np.arange(int(np.ceil(rate * seconds))) / rate
    else:
        # Given their number, the arrivals of a Poisson process are independent and uniform.
        random = np.random.default_rng(seed)
        times = np.sort(random.uniform(0, seconds, random.poisson(rate * seconds)))
    return [float(time) for time in times if time < seconds]

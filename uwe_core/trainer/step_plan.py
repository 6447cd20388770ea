"""StepPlan: how many steps a run has and in which precision, decided once by measurement and then kept."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import torch
from pydantic import BaseModel, ConfigDict, Field

from uwe_core.encoder import Precision
from uwe_core.errors import ConfigurationError

# The first steps pay for warming up kernels and caches, so they are not measured.
UNMEASURED_STEPS = 2
MEASURED_STEPS = 4
# Of each precision: the difference that matters is large, and where one is emulated a step takes long.
PRECISION_TRIALS = (1, 1)


class StepPlan(BaseModel):
    """What a run's schedule follows from; part of its state, so that a resumed run keeps it.

    Attributes:
        steps: updates of the whole run.
        precision: of the encoder's products.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=1)
    precision: Precision


def steps_within(seconds: float, per_step: float, per_pause: float, pause_every: int) -> int:
    """The most steps that fit into some time.

    Args:
        seconds: there are.
        per_step: seconds of one.
        per_pause: seconds of validating and saving, after every so many steps and at the end.
        pause_every: so many.

    Raises:
        ConfigurationError: not even one step fits.
    """
    per_round = pause_every * per_step + per_pause
    rounds, left = divmod(max(seconds, 0.0), per_round)
    steps = int(rounds) * pause_every + max(0, int((left - per_pause) / per_step))
    if steps < 1:
        raise ConfigurationError(
            f"no step fits: {max(seconds, 0):.0f} s are left, a step takes {per_step:.1f} s and a validation "
            f"{per_pause:.1f} s"
        )
    return steps


def seconds_per_step(
    steps: Iterator[None], device: torch.device, unmeasured: int = UNMEASURED_STEPS, measured: int = MEASURED_STEPS
) -> float:
    """The median time of a few steps, after some that are not counted."""
    for _ in range(unmeasured):
        next(steps)
    durations = []
    for _ in range(measured):
        _wait(device)
        start = time.perf_counter()
        next(steps)
        _wait(device)
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

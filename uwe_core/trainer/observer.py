"""What a trainer tells while it runs, and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from uwe_core.trainer.step_plan import StepPlan
from uwe_core.trainer.train_state import TrainProgress


@dataclass(frozen=True)
class StepReport:
    """One update.

    Attributes:
        step: updates made, this one included.
        loss: the weighted sum of `losses`.
        losses: of each graph, not weighted.
        learning_rate: of this update.
        gradient_norm: before clipping.
        texts: encoded for it.
        seconds: from the step before to this one, without validating and saving.
        entropies: of each graph's attention, between 0 and 1; empty where it was not measured.
    """

    step: int
    loss: float
    losses: Mapping[str, float]
    learning_rate: float
    gradient_norm: float
    texts: int
    seconds: float
    entropies: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Validation:
    """How well a model does: the number that decides which is best, higher is better, and what it is made of."""

    average: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class ValidationReport:
    """One validation: after how many updates, its result, whether it is the best so far, and how long it took."""

    step: int
    validation: Validation
    is_best: bool
    seconds: float


@runtime_checkable
class Observer(Protocol):
    """Told of a run as it goes; a resumed run tells again what came after the state it goes on from."""

    def planned(self, plan: StepPlan, progress: TrainProgress) -> None:
        """The run goes from this progress to the end of the plan; a new one was validated before it was planned."""

    def stepped(self, report: StepReport) -> None:
        """An update was made."""

    def validated(self, report: ValidationReport) -> None:
        """The model was validated."""


class Silent:
    """An observer that does nothing."""

    def planned(self, plan: StepPlan, progress: TrainProgress) -> None:
        """Nothing."""

    def stepped(self, report: StepReport) -> None:
        """Nothing."""

    def validated(self, report: ValidationReport) -> None:
        """Nothing."""

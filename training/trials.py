"""Trials: short runs before the real one, which choose what it is trained with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from uwe_core.facts import read_facts
from uwe_core.files import write_text
from uwe_core.interaction import QueryReduction
from uwe_core.trainer.train_config import TrainConfig
from uwe_core.trainer.train_state import RunIdentity

TRIALS_FORMAT = 1
TRIALS_FILE = "trials.json"
TRIALS_FOLDER = "trials"


class TrialConfig(BaseModel):
    """Which query reductions are tried in training, and for how long; the paper does not say which it has.

    Attributes:
        query_reductions: the candidates; where two are equally good, the first.
        steps: of each, a whole short run with its own warm-up and decay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    query_reductions: tuple[QueryReduction, ...] = Field(default=("sum", "mean"), min_length=2)
    steps: int = Field(default=100, ge=1)

    @field_validator("query_reductions")
    @classmethod
    def _distinct(cls, candidates: tuple[QueryReduction, ...]) -> tuple[QueryReduction, ...]:
        if len(set(candidates)) < len(candidates):
            raise ValueError("the same candidate twice")
        return candidates


class Trials(BaseModel):
    """`trials.json`: the trials of a run that are finished, and what they chose.

    Attributes:
        identity: of the run that they are for, before anything was chosen.
        averages: of the validation at the end of each finished trial.
        chosen: the best, once all are finished.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = TRIALS_FORMAT
    identity: RunIdentity
    averages: dict[QueryReduction, float] = Field(default_factory=dict)
    chosen: QueryReduction | None = None

    @classmethod
    def read(cls, folder: Path, identity: RunIdentity) -> Trials:
        """Those of a run folder, none finished where there is no file.

        Raises:
            ArtefactError: the file cannot be read.
            ConfigurationError, FingerprintError: it is of another run.
        """
        path = folder / TRIALS_FILE
        if not path.is_file():
            return cls(identity=identity)
        found = read_facts(path, cls, TRIALS_FORMAT)
        found.identity.refuse(identity)
        return found

    def save(self, folder: Path) -> None:
        """Write the file whole."""
        write_text(folder / TRIALS_FILE, self.model_dump_json(indent=1) + "\n")

    def with_result(self, candidate: QueryReduction, average: float, candidates: Sequence[QueryReduction]) -> Trials:
        """With one more finished trial, and the choice where it was the last."""
        averages = {**self.averages, candidate: average}
        chosen = best_candidate(averages, candidates) if set(averages) >= set(candidates) else None
        return self.model_copy(update={"averages": averages, "chosen": chosen})


def best_candidate(averages: dict[QueryReduction, float], candidates: Sequence[QueryReduction]) -> QueryReduction:
    """The candidate with the highest average, the first of equals."""
    return max(candidates, key=lambda candidate: averages[candidate])


def trial_config(config: TrainConfig, candidate: QueryReduction, steps: int) -> TrainConfig:
    """The configuration of a trial: validated before its first step and after its last."""
    short = {"steps": steps, "evaluate_every": steps, "patience": None}
    return with_reduction(config, candidate).model_copy(update=short)


def with_reduction(config: TrainConfig, reduction: QueryReduction) -> TrainConfig:
    """The configuration with another query reduction in its loss."""
    interaction = config.loss.interaction.model_copy(update={"query_reduction": reduction})
    return config.model_copy(update={"loss": config.loss.model_copy(update={"interaction": interaction})})

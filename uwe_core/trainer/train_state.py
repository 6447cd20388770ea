"""TrainState: everything a stopped run needs to go on as if it had not been stopped; safetensors and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from uwe_core.errors import ArtefactError, ChecksumError, ConfigurationError, FingerprintError
from uwe_core.facts import read_facts
from uwe_core.files import atomic_folder, sha256_of
from uwe_core.trainer.step_plan import StepPlan
from uwe_core.trainer.train_config import TrainConfig

STATE_FORMAT = 1
STATE_FILE = "state.json"
TENSORS_FILE = "state.safetensors"


class TrainProgress(BaseModel):
    """How far a run is.

    Attributes:
        step: updates made.
        validated_step: of the last validation.
        last_average: its average.
        best_average: of all validations so far.
        best_step: where it was.
        worse_validations: since then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int = 0
    validated_step: int | None = None
    last_average: float | None = None
    best_average: float | None = None
    best_step: int | None = None
    worse_validations: int = 0

    def stepped(self) -> TrainProgress:
        """One update further."""
        return self.model_copy(update={"step": self.step + 1})

    def validated(self, average: float) -> TrainProgress:
        """With the validation of this step; only a better one takes the place of the best."""
        if self.best_average is None or average > self.best_average:
            news = {"best_average": average, "best_step": self.step, "worse_validations": 0}
        else:
            news = {"worse_validations": self.worse_validations + 1}
        return self.model_copy(update={**news, "validated_step": self.step, "last_average": average})


class RunIdentity(BaseModel):
    """What a run must share with the state that it goes on from.

    Attributes:
        config: how it trains.
        base_fingerprint: of the encoder that it began with.
        data_fingerprint: of the graphs, where known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: TrainConfig
    base_fingerprint: str
    data_fingerprint: str | None

    def refuse(self, other: RunIdentity) -> None:
        """Check the identity of the state against that of the run at hand.

        Raises:
            ConfigurationError: they are configured differently, naming where.
            FingerprintError: they began with another encoder, or train on other graphs.
        """
        own, others = self.config.model_dump(), other.config.model_dump()
        changed = [key for key in own if own[key] != others[key]]
        if changed:
            raise ConfigurationError(f"a run goes on as it began, and {', '.join(changed)} differs from its state")
        if self.base_fingerprint != other.base_fingerprint:
            raise FingerprintError("the state is of a run that began with another encoder")
        if self.data_fingerprint != other.data_fingerprint:
            raise FingerprintError("the state is of a run on other graphs")


class _StateFacts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = STATE_FORMAT
    identity: RunIdentity
    plan: StepPlan
    progress: TrainProgress
    checksum: str


@dataclass(frozen=True)
class TrainState:
    """The loop's state between two steps.

    Attributes:
        identity: of the run.
        plan: its steps.
        progress: how far it is.
        tensors: weights, optimiser and random numbers: `Learner.tensors`.
    """

    identity: RunIdentity
    plan: StepPlan
    progress: TrainProgress
    tensors: Mapping[str, Tensor]

    def save(self, folder: Path) -> None:
        """Write the folder whole, or leave the one that is there."""
        with atomic_folder(folder) as aside:
            path = aside / TENSORS_FILE
            save_file({name: tensor.cpu().contiguous() for name, tensor in self.tensors.items()}, path)
            facts = _StateFacts(
                identity=self.identity, plan=self.plan, progress=self.progress, checksum=sha256_of(path)
            )
            (aside / STATE_FILE).write_text(facts.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> TrainState | None:
        """The state of a folder, or None where there is none.

        Raises:
            ArtefactError: the files cannot be read, or are not those that were written.
        """
        if not (folder / STATE_FILE).is_file():
            return None
        facts = read_facts(folder / STATE_FILE, _StateFacts, STATE_FORMAT)
        path = folder / TENSORS_FILE
        try:
            if sha256_of(path) != facts.checksum:
                raise ChecksumError(f"{path} is not the file that was written with {STATE_FILE}")
            return cls(facts.identity, facts.plan, facts.progress, load_file(path))
        except (OSError, SafetensorError) as error:
            raise ArtefactError(f"{path} cannot be read: {error}") from error

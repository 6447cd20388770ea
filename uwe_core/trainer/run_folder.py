"""RunFolder: where a run keeps its best and its last checkpoint, and the state to resume from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from uwe_core.adapter import ADAPTER_FILE, save_adapter
from uwe_core.errors import ConfigurationError
from uwe_core.files import atomic_folder
from uwe_core.model import CheckpointInfo, UweModel, write_facts
from uwe_core.trainer.lora import lora_factors
from uwe_core.trainer.step_plan import StepPlan
from uwe_core.trainer.train_config import LoraSettings

_BYTES = 4  # of a number in float32
_STATE_COPIES = 3  # weights and two moments
_SLACK_BYTES = 50_000_000  # tokenizer, logs, plots


@dataclass(frozen=True)
class CheckpointFacts:
    """What is known of a checkpoint when it is written.

    Attributes:
        info: its `uwe.json`; without metrics where it was not validated.
        step: updates made.
        plan: of the run; None before the first update, when there is none yet.
    """

    info: CheckpointInfo
    step: int
    plan: StepPlan | None


@dataclass(frozen=True)
class RunFolder:
    """The files of a run; each folder is whole or not there.

    Attributes:
        root: the folder.
        describe: makes the model card of a checkpoint; None: they have none.
    """

    root: Path
    describe: Callable[[CheckpointFacts], str] | None = None

    @property
    def best(self) -> Path:
        """The checkpoint that validated best."""
        return self.root / "best"

    @property
    def last(self) -> Path:
        """The checkpoint of the last validation, or of the end."""
        return self.root / "last"

    @property
    def state(self) -> Path:
        """What a stopped run resumes from."""
        return self.root / "state"

    def prepare(self, trained_weights: int, checkpoint_weights: int) -> None:
        """Make the folder, remove what a killed run left half written, and refuse one without room.

        Args:
            trained_weights: numbers that a state holds, without their moments.
            checkpoint_weights: numbers that a checkpoint holds.

        Raises:
            ConfigurationError: the folder cannot be written to, or the disk has too little room.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for left in [*self.root.glob(".*.part"), *self.root.glob(".*.old")]:
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise ConfigurationError(f"the run folder {self.root} cannot be written to: {error}") from error
        needed = bytes_needed(trained_weights, checkpoint_weights) - self._bytes_held()
        free = shutil.disk_usage(self.root).free
        if needed > free:
            raise ConfigurationError(
                f"the run folder {self.root} needs {needed / 1e9:.1f} GB for checkpoints, and {free / 1e9:.1f} GB "
                "are free"
            )

    def card(self, facts: CheckpointFacts) -> str | None:
        """The model card of a checkpoint, or None where this run writes none."""
        return None if self.describe is None else self.describe(facts)

    def _bytes_held(self) -> int:
        folders = (self.best, self.last, self.state)
        return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def bytes_needed(trained_weights: int, checkpoint_weights: int) -> int:
    """Room for a state and two checkpoints, the old of each while the new one is written."""
    state, checkpoint = _BYTES * _STATE_COPIES * trained_weights, _BYTES * checkpoint_weights
    return state + 2 * checkpoint + max(state, checkpoint) + _SLACK_BYTES


def save_checkpoint(model: UweModel, lora: LoraSettings | None, folder: Path, card: str | None = None) -> None:
    """Write the model whole, or, where it was trained by adapters, these alone; `from_pretrained` reads both.

    Args:
        model: what it says of itself is written too.
        lora: the adapters it was trained by.
        folder: replaced as one, with everything in it.
        card: the model card.
    """
    if lora is None:
        model.save_pretrained(folder, card)
        return
    info = model.info.model_copy(update={"adapter_scale": lora.scale})
    with atomic_folder(folder) as aside:
        save_adapter(lora_factors(model.encoder.backbone), aside / ADAPTER_FILE)
        write_facts(aside, info, card)

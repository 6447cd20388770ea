"""A run whose disk fills up ends with an error that names the folder, and goes on from its last state."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.core.trainer.test_trainer import assert_same_run
from tests.core.trainer.training_setup import LORA, Recorder, embeddings, tiny_config, tiny_trainer
from tests.full_disks import KINDS, NoRoom, disk, files_in, filled, small_disk
from uwe_core.errors import ConfigurationError, DiskFullError
from uwe_core.model import UweModel
from uwe_core.trainer.observer import StepReport, ValidationReport
from uwe_core.trainer.run_folder import RunFolder
from uwe_core.trainer.train_state import TrainState

pytestmark = pytest.mark.usefixtures("one_thread")


class FillsTheDisk(Recorder):
    """Takes all room when a step, or a validation, is over, and keeps what lay there then."""

    def __init__(self, no_room: NoRoom, run: Path, after: str) -> None:
        super().__init__()
        self.no_room, self.run, self.after = no_room, run, after
        self.files: dict[str, bytes] = {}
        self.taken = ExitStack()

    def stepped(self, report: StepReport) -> None:
        super().stepped(report)
        if (self.after, report.step) == ("step", 3):
            self.fill()

    def validated(self, report: ValidationReport) -> None:
        super().validated(report)
        if (self.after, report.step) == ("validation", 4):
            self.fill()

    def fill(self) -> None:
        self.files = files_in(self.run)
        self.taken.enter_context(self.no_room())


@pytest.mark.parametrize(("after", "folder", "saved"), [("step", "state", 2), ("validation", "best", 4)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_last_state_and_checkpoint_stay_and_the_run_goes_on_when_there_is_room(
    kind: str, after: str, folder: str, saved: int, base: Path, tmp_path: Path
) -> None:
    config = tiny_config(lora=LORA)
    tiny_trainer(base, tmp_path / "whole", config).run()
    with disk(kind, tmp_path / "disk", megabytes=64) as no_room:
        run = tmp_path / "disk" / "run"
        observer = FillsTheDisk(no_room, run, after)
        with observer.taken, pytest.raises(DiskFullError, match=f"{run / folder} cannot be written"):
            tiny_trainer(base, run, config, observer).run()
        assert files_in(run) == observer.files
        assert {path.name for path in run.iterdir()} == {"best", "last", "state"}
        state = TrainState.read(RunFolder(run).state)
        assert state is not None
        assert state.progress.step == saved
        embeddings(UweModel.from_pretrained(RunFolder(run).last, device="cpu"))
        resumed = tiny_trainer(base, run, config).run(resume=True)
        assert resumed.progress.step == 6
        assert_same_run(tmp_path / "whole", run)


def test_a_run_on_a_full_disk_is_refused_before_any_work(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "disk" / "run"
    with small_disk(tmp_path / "disk"), filled(tmp_path / "disk"):
        with pytest.raises(ConfigurationError, match=r"needs .* GB for checkpoints, and 0\.0 GB are free"):
            tiny_trainer(base, run).run()
        assert list(run.iterdir()) == []

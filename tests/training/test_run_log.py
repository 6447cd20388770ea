"""What a run leaves to read."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from training.run_log import MetricsLog, Observers, TensorBoardLog, TerminalLog, read_log, tensorboard_logs
from training.run_plots import save_curves
from training.terminal import progress_bar
from uwe_core.trainer.observer import Observer, StepReport, Validation, ValidationReport
from uwe_core.trainer.step_plan import StepPlan
from uwe_core.trainer.train_state import TrainProgress

PLAN = StepPlan(steps=4, precision="float32")


def step(number: int, loss: float = 2.0) -> StepReport:
    return StepReport(number, loss, {"job": loss, "sentence": loss / 2}, 1e-3, 0.5, 100, 2.0, {"job": 0.5})


def validation(number: int, average: float = 50.0, *, is_best: bool = True) -> ValidationReport:
    return ValidationReport(number, Validation(average, {"average/map": average, "jobnorm/map": 1.0}), is_best, 3.0)


def test_a_run_that_was_killed_and_resumed_is_logged_once(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.validated(validation(0))
    log.planned(PLAN, TrainProgress(validated_step=0))
    for number in (1, 2, 3):
        log.stepped(step(number))
    log.validated(validation(2, 51.0))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "step", "st')  # cut off by the kill
    log.planned(PLAN, TrainProgress(step=2, validated_step=0))
    log.validated(validation(2, 52.0))
    log.stepped(step(3))
    lines = read_log(tmp_path / "metrics.jsonl")
    assert [(line["kind"], line["step"]) for line in lines] == [
        ("validation", 0), ("step", 1), ("step", 2), ("validation", 2), ("step", 3),
    ]  # fmt: skip
    assert lines[3]["average"] == 52.0
    assert lines[1]["losses"] == {"job": 2.0, "sentence": 1.0}
    assert lines[1]["entropies"] == {"job": 0.5}


def test_the_terminal_shows_loss_rate_and_validations(capsys: object, tmp_path: Path) -> None:
    with progress_bar("training") as bar:
        log = TerminalLog(bar)
        log.planned(PLAN, TrainProgress())
        log.stepped(step(1))
        log.validated(validation(1))
        log.validated(validation(2, 40.0, is_best=False))
    shown = capsys.readouterr().err  # type: ignore[attr-defined]
    assert "training begins: 4 steps in float32" in shown
    assert "step 1: MAP average 50.0, jobnorm 1.0, the best so far\n" in shown
    assert "step 2: MAP average 40.0, jobnorm 1.0\n" in shown
    assert "loss 2.000" in shown


def test_curves_are_drawn_also_of_a_run_that_has_hardly_begun(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    save_curves(read_log(tmp_path / "metrics.jsonl"), tmp_path / "none.png")
    log.stepped(step(1))
    save_curves(read_log(tmp_path / "metrics.jsonl"), tmp_path / "one.png")
    for number in range(2, 20):
        log.stepped(step(number))
        log.validated(validation(number))
    save_curves(read_log(tmp_path / "metrics.jsonl"), tmp_path / "many.png")
    assert all((tmp_path / f"{name}.png").stat().st_size > 1000 for name in ("none", "one", "many"))


def test_all_observers_are_told(tmp_path: Path) -> None:
    logs = [MetricsLog(tmp_path / f"{name}.jsonl") for name in "ab"]
    everyone = Observers(logs)
    assert isinstance(everyone, Observer)
    everyone.planned(PLAN, TrainProgress())
    everyone.stepped(step(1))
    everyone.validated(validation(1))
    assert len(read_log(tmp_path / "a.jsonl")) == 2
    assert read_log(tmp_path / "a.jsonl") == read_log(tmp_path / "b.jsonl")


def test_tensorboard_is_told_losses_and_entropies() -> None:
    told: dict[str, float] = {}
    log = TensorBoardLog.__new__(TensorBoardLog)  # without its writer, which needs TensorBoard
    writer: Any = SimpleNamespace(add_scalar=lambda name, value, _: told.update({name: value}))
    log._writer = writer
    log.stepped(step(1))
    assert told["loss/sentence"] == 1.0
    assert told["entropy/job"] == 0.5


def test_tensorboard_is_used_only_where_it_is_installed(tmp_path: Path) -> None:
    import importlib.util

    logs = tensorboard_logs(tmp_path / "tensorboard")
    assert len(logs) == (importlib.util.find_spec("tensorboard") is not None)

"""What a run leaves to read: `metrics.jsonl`, TensorBoard's files where it is installed, and lines on the terminal."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.terminal import Bar
from uwe_core.files import room_for, write_text
from uwe_core.trainer.observer import Observer, StepReport, ValidationReport
from uwe_core.trainer.step_plan import StepPlan
from uwe_core.trainer.train_state import TrainProgress

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
STEP, VALIDATION = "step", "validation"


class MetricsLog:
    """One line of JSON for each step and each validation, in the order of the steps, also over resumed runs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def planned(self, plan: StepPlan, progress: TrainProgress) -> None:  # noqa: ARG002 - an observer's signature
        """Drop what will come again: a killed run may have logged more than its last state knows of."""
        known = {STEP: progress.step, VALIDATION: -1 if progress.validated_step is None else progress.validated_step}
        kept = {(line["kind"], line["step"]): line for line in read_log(self._path)}
        lines = [json.dumps(line) for (kind, step), line in kept.items() if step <= known[kind]]
        write_text(self._path, "".join(f"{line}\n" for line in lines))

    def stepped(self, report: StepReport) -> None:
        """Append a step."""
        self._append({"kind": STEP, **asdict(report)})

    def validated(self, report: ValidationReport) -> None:
        """Append a validation."""
        figures = {"average": report.validation.average, "metrics": dict(report.validation.metrics)}
        self._append(
            {"kind": VALIDATION, "step": report.step, "is_best": report.is_best, "seconds": report.seconds, **figures}
        )

    def _append(self, line: dict[str, Any]) -> None:
        whole = self._path.stat().st_size if self._path.exists() else 0
        with room_for(self._path):
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            except OSError:
                if self._path.exists():
                    os.truncate(self._path, whole)  # no part of a line stays
                raise


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl`; one that a kill has cut off is left out."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


class TerminalLog:
    """A bar with loss and rate, and a line for each validation."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._steps = 0

    def planned(self, plan: StepPlan, progress: TrainProgress) -> None:
        """Say what is to come."""
        self._steps = plan.steps
        begin = f"goes on after step {progress.step}" if progress.step else "begins"
        self._bar.tell(f"training {begin}: {plan.steps} steps in {plan.precision}")

    def stepped(self, report: StepReport) -> None:
        """Move the bar."""
        rate = report.texts / report.seconds if report.seconds > 0 else 0.0
        self._bar.update(report.step, self._steps, f"loss {report.loss:.3f}, {rate:,.0f} texts/s")

    def validated(self, report: ValidationReport) -> None:
        """Print the average and each data set's MAP."""
        figures = {name: value for name, value in report.validation.metrics.items() if name.endswith("/map")}
        parts = ", ".join(f"{name.removesuffix('/map')} {value:.1f}" for name, value in figures.items())
        best = ", the best so far" if report.is_best else ""
        self._bar.tell(f"step {report.step}: MAP {parts}{best}")


class TensorBoardLog:
    """The same for TensorBoard, which this project does not need and uses where it is there."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - fails where TensorBoard is absent

        self._writer = SummaryWriter(str(folder))

    def planned(self, plan: StepPlan, progress: TrainProgress) -> None:
        """Nothing: steps that come again are drawn again."""

    def stepped(self, report: StepReport) -> None:
        """Scalars of a step."""
        scalars = {"loss": report.loss, "learning_rate": report.learning_rate, "gradient_norm": report.gradient_norm}
        scalars |= {f"loss/{name}": loss for name, loss in report.losses.items()}
        scalars |= {f"entropy/{name}": entropy for name, entropy in report.entropies.items()}
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, report.step)

    def validated(self, report: ValidationReport) -> None:
        """Scalars of a validation."""
        for name, value in report.validation.metrics.items():
            self._writer.add_scalar(f"validation/{name}", value, report.step)
        self._writer.flush()


def tensorboard_logs(folder: Path) -> list[Observer]:
    """One log where TensorBoard is installed, else none."""
    return [TensorBoardLog(folder)] if importlib.util.find_spec("tensorboard") else []


class Observers:
    """Several observers as one, told in order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def planned(self, plan: StepPlan, progress: TrainProgress) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.planned(plan, progress)

    def stepped(self, report: StepReport) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.stepped(report)

    def validated(self, report: ValidationReport) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.validated(report)

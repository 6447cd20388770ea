"""Calibrate a model folder: fit on the selecting halves, judge on the reporting ones, write into `uwe.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.calibration.fit import Reliability, fit_tasks, reliability
from training.calibration.score_counts import count_tasks
from training.workbench.dataset import RankingDataset
from uwe_core.calibration import Calibration
from uwe_core.errors import InputError
from uwe_core.files import write_text
from uwe_core.model import CHECKPOINT_FILE, UweModel, read_checkpoint_info


@dataclass(frozen=True)
class Calibrated:
    """A calibration of each task, judged on other queries: on what a ranking shows first, and on all targets."""

    by_task: Mapping[str, Calibration]
    shown: Mapping[str, Reliability]
    every: Mapping[str, Reliability]


def calibrate(model: UweModel, selecting: Sequence[RankingDataset], reporting: Sequence[RankingDataset]) -> Calibrated:
    """Fit on one half and judge on the other.

    Raises:
        DataError: a task has no relevant pair.
    """
    targets: dict[str, int] = {}
    for dataset in selecting:
        targets[dataset.task] = max(len(dataset.targets), targets.get(dataset.task, 0))
    by_task = fit_tasks(
        count_tasks(model, selecting), targets, per_query_token=model.interaction.bounded_by_query_length
    )
    others = count_tasks(model, reporting)
    judged = [task for task in by_task if task in others]
    return Calibrated(
        by_task,
        {task: reliability(by_task[task], others[task].shown) for task in judged},
        {task: reliability(by_task[task], others[task].every) for task in judged},
    )


def write_calibration(folder: Path, by_task: Mapping[str, Calibration]) -> None:
    """Put calibrations into a model folder's `uwe.json`, in place of those that were there; all or nothing.

    Raises:
        InputError: the folder has no `uwe.json`.
    """
    info = read_checkpoint_info(folder)
    if info is None:
        raise InputError(f"{folder} is no model folder of ours: it has no {CHECKPOINT_FILE}")
    calibrated = info.model_copy(update={"calibration": dict(by_task)})
    write_text(folder / CHECKPOINT_FILE, calibrated.model_dump_json(indent=2) + "\n")

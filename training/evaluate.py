"""Evaluate models on WorkBench: choose data sets, judge what is not judged yet, report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from training.terminal import progress_bar
from training.workbench.baselines.interface import RankingModel
from training.workbench.dataset import AbsentDataset, DatasetEntry, Half, RankingDataset, Split
from training.workbench.evaluation import Judgement, judge
from training.workbench.hub_data import hub_workbench
from training.workbench.local_data import local_workbench
from training.workbench.plots import save_plots
from training.workbench.report import Report
from training.workbench.results import ResultStore
from training.workbench.sample_data import sample_workbench
from uwe_core.errors import DataError, InputError
from uwe_core.files import write_text

# `either` is the test split where it is on this machine, else validation.
SplitChoice = Literal["validation", "test", "either"]

RESULTS_FOLDER = "finished"
SAMPLE = "sample"


def data_candidates(data: str, choice: SplitChoice) -> list[list[DatasetEntry]]:
    """The data sets of a source, in one split after the other where several will do.

    Args:
        data: `sample`, `hub`, or a folder.
        choice: the sample has a single split and ignores it.
    """
    if data == SAMPLE:
        return [sample_workbench()]
    splits: list[Split] = ["test", "validation"] if choice == "either" else [choice]
    if data == "hub":
        return [hub_workbench(split) for split in splits]
    return [local_workbench(Path(data), split) for split in splits]


def read_datasets(
    candidates: Sequence[Sequence[DatasetEntry]], names: Sequence[str] | None, half: Half = "all"
) -> tuple[list[RankingDataset], list[AbsentDataset]]:
    """Read the data sets asked for; of each, the first candidate that is present.

    Args:
        candidates: the same data sets in one split after the other, the preferred split first.
        names: of data sets or tasks; all where None.
        half: of validation data sets; the halves exist to choose on one and report on the other.

    Raises:
        InputError: a name that no data set has.
    """
    known = {name for entries in candidates for entry in entries for name in (entry.name, entry.task)}
    unknown = sorted(set(names or ()) - known)
    if unknown:
        raise InputError(f"no data set '{unknown[0]}'; there are: {', '.join(sorted(known))}")
    present: list[RankingDataset] = []
    absent: list[AbsentDataset] = []
    for versions in zip(*candidates, strict=True):
        if names and not {versions[0].name, versions[0].task} & set(names):
            continue
        read = [versions[0].read()]
        while isinstance(read[-1], AbsentDataset) and len(read) < len(versions):
            read.append(versions[len(read)].read())
        absent += [gap for gap in read if isinstance(gap, AbsentDataset)]
        present += [dataset.take(half) for dataset in read if isinstance(dataset, RankingDataset)]
    if not present:
        raise DataError("data", None, "; ".join(f"{gap.name}/{gap.split}: {gap.reason}" for gap in absent))
    return present, absent


def judge_all(
    models: Iterable[RankingModel], datasets: Sequence[RankingDataset], store: ResultStore | None
) -> dict[tuple[str, str], Judgement]:
    """Every model on every data set; finished pairs are taken from the store, new ones put there at once."""
    judgements: dict[tuple[str, str], Judgement] = {}
    models = list(models)
    for dataset in datasets:  # data sets outside: interactions of one encoder then share its encodings
        for model in models:
            done = store.get(model.name, model.fingerprint, dataset) if store else None
            if done is None:
                with progress_bar(f"{model.name} on {dataset.title}") as bar:
                    done = judge(model, dataset, bar.update)
                if store:
                    store.put(model.fingerprint, done)
            judgements[model.name, dataset.title] = done
    return judgements


def write_report(report: Report, folder: Path) -> None:
    """Write `results.json`, `report.md` and the plots."""
    write_text(folder / "results.json", json.dumps(report.json(), indent=1) + "\n")
    write_text(folder / "report.md", report.markdown())
    save_plots(report, folder)

"""Report: what was judged and what is absent, as a table for the terminal, Markdown, and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from training.workbench.baselines.interface import RankingModel
from training.workbench.dataset import AbsentDataset, RankingDataset
from training.workbench.evaluation import METRICS, Judgement
from training.workbench.paper import paper_models, paper_value
from uwe_core.metrics import FloatArray, bootstrap_intervals, task_average

# The paper's macro average is over these; a data set of another task (zero-shot pairs) is shown and not averaged.
AVERAGED_TASKS = ("job2skill", "skill2job", "skillnorm", "skillextract", "skillsim", "jobnorm")
_SHOWN = ("map", "rp@10")


@dataclass(frozen=True)
class Report:
    """Models in rows, data sets in columns.

    Attributes:
        judgements: by model and data set's title; those that are missing were not asked for.
        absent: data sets that are not on this machine.
        paper: whether the paper's figures are comparable (the real data, not the sample).
    """

    models: Sequence[RankingModel]
    datasets: Sequence[RankingDataset]
    judgements: dict[tuple[str, str], Judgement]
    absent: Sequence[AbsentDataset]
    paper: bool

    @property
    def names(self) -> list[str]:
        """The names of the models."""
        return [model.name for model in self.models]

    def unseen(self) -> Iterator[str]:
        """The data sets whose target space training never saw, a line for all models of which that is the same."""
        models_of: dict[str, list[str]] = {}
        for model in self.models:
            if model.seen_spaces is not None:
                titles = [dataset.title for dataset in self.datasets if dataset.target_space not in model.seen_spaces]
                models_of.setdefault(", ".join(titles) or "none", []).append(model.name)
        for titles_in_words, names in models_of.items():
            yield f"Target space unseen in training of {', '.join(names)}: {titles_in_words}."

    def average(self, model: str, metric: str) -> float | None:
        """The mean over tasks, data sets of one task averaged first; None where none of its tasks was judged."""
        averaged = [dataset for dataset in self.datasets if dataset.task in AVERAGED_TASKS]
        if not averaged:
            return None
        values = {dataset.title: self.judgements[model, dataset.title].mean(metric) for dataset in averaged}
        return task_average(values, {dataset.title: dataset.task for dataset in averaged})

    @property
    def average_title(self) -> str:
        """`average`, and over how many tasks where some are missing."""
        present = {dataset.task for dataset in self.datasets} & set(AVERAGED_TASKS)
        whole = len(present) == len(AVERAGED_TASKS) and not any(gap.task in present for gap in self.absent)
        return "average" if whole or not present else f"partial average, {len(present)} of {len(AVERAGED_TASKS)} tasks"

    def rows(self) -> list[list[str]]:
        """A header, a row per model, and rows of the paper where its figures are comparable; in percent."""
        header = ["model (MAP / RP@10)", *(dataset.title for dataset in self.datasets), self.average_title]
        rows = [header, *([model, *self._cells(model)] for model in self.names)]
        if self.paper:
            rows += [[f"paper: {model}", *self._paper_cells(model)] for model in paper_models()]
        return rows

    def table(self) -> Table:
        """For the terminal."""
        header, *rows = self.rows()
        table = Table(*(title if " / " in title else title.replace("/", "\n") for title in header))
        for row in rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """The table, sizes, what was changed on the way, and what is absent."""
        header, *rows = self.rows()
        lines = [_line(header), _line(["---"] * len(header)), *map(_line, rows), ""]
        lines += ["| data set | queries | targets | merged or dropped |", "|---|---|---|---|"]
        for dataset in self.datasets:
            changes = ", ".join(f"{count:,} {what}" for what, count in (dataset.counts or {}).items()) or "nothing"
            lines.append(f"| {dataset.title} | {len(dataset.queries):,} | {len(dataset.targets):,} | {changes} |")
        lines += ["", *self.unseen(), *(f"Absent: {gap.name}/{gap.split}: {gap.reason}." for gap in self.absent)]
        if any(dataset.split == "validation" for dataset in self.datasets) and self.paper:
            lines.append("The paper's figures are of the test splits throughout.")
        return "\n".join(lines).rstrip() + "\n"

    def json(self) -> dict[str, Any]:
        """Everything, with intervals, and the paired gain of each model over the first."""
        results = [self._result(model, dataset) for model in self.names for dataset in self.datasets]
        averages = {model: {metric: self.average(model, metric) for metric in METRICS} for model in self.names}
        absent = [{"name": gap.name, "split": gap.split, "reason": gap.reason} for gap in self.absent]
        return {"results": results, self.average_title: averages, "absent": absent}

    def _result(self, model: str, dataset: RankingDataset) -> dict[str, Any]:
        judgement = self.judgements[model, dataset.title]
        first = self.judgements[self.names[0], dataset.title]
        values = np.stack([judgement.values(metric) for metric in METRICS], axis=1)
        gains = values - np.stack([first.values(metric) for metric in METRICS], axis=1)
        intervals = bootstrap_intervals(np.concatenate([values, gains], axis=1))
        metrics: dict[str, Any] = {}
        for place, metric in enumerate(METRICS):
            metrics[metric] = _summary(values[:, place], intervals[place])
            if judgement is not first:
                gain = _summary(gains[:, place], intervals[len(METRICS) + place])
                metrics[metric]["gain"] = {"over": first.model, **gain}
        return {
            "model": model,
            "dataset": dataset.name,
            "split": dataset.split,
            "half": dataset.half,
            "queries": len(dataset.queries),
            "targets": len(dataset.targets),
            "left_out": judgement.ranks.left_out,
            "seconds": round(judgement.seconds, 3),
            "metrics": metrics,
        }

    def _cells(self, model: str) -> list[str]:
        judged = [self.judgements[model, dataset.title] for dataset in self.datasets]
        cells = [_percent(*(judgement.mean(metric) for metric in _SHOWN)) for judgement in judged]
        averages = [self.average(model, metric) for metric in _SHOWN]
        return [*cells, "" if averages[0] is None else _percent(*(average or 0.0 for average in averages))]

    def _paper_cells(self, model: str) -> list[str]:
        cells: list[str] = []
        by_dataset: dict[str, dict[str, float]] = {metric: {} for metric in _SHOWN}
        for dataset in self.datasets:
            values = [paper_value(model, dataset.name, metric) for metric in _SHOWN]
            cells.append("" if None in values else _percent(*(value / 100 for value in values if value is not None)))
            for metric, value in zip(_SHOWN, values, strict=True):
                if value is not None:
                    by_dataset[metric][dataset.title] = value / 100
        groups = {dataset.title: dataset.task for dataset in self.datasets}
        averages = [task_average(by_dataset[metric], groups) for metric in _SHOWN] if by_dataset["map"] else []
        return [*cells, _percent(*averages) if averages else ""]


def _summary(values: FloatArray, interval: tuple[float, float]) -> dict[str, Any]:
    return {"mean": float(values.mean()), "low": interval[0], "high": interval[1]}


def _percent(*values: float) -> str:
    return " / ".join(f"{100 * value:.1f}" for value in values)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"

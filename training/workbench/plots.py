"""Pictures of a report: MAP per task, recall by depth, and how precision spreads over queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from training.figure_file import save_figure
from training.workbench.evaluation import Judgement
from training.workbench.report import Report

_DEPTHS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500)
_PANEL_INCHES = (3.6, 2.9)
_STYLES = ("-", "--", "-.", ":")  # models that rank alike lie on one another


def save_plots(report: Report, folder: Path) -> list[Path]:
    """Write `map.png`, `recall.png` and `precision_spread.png`."""
    mpl.use("agg")  # no screen is needed, and none is there on servers
    return [
        _save(_map_bars(report), folder / "map.png"),
        _save(_panels(report, _recall_curve), folder / "recall.png"),
        _save(_panels(report, _precision_spread), folder / "precision_spread.png"),
    ]


def _map_bars(report: Report) -> Figure:
    figure = Figure(figsize=(2 + 1.5 * len(report.datasets), 4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(report.names)
    places = np.arange(len(report.datasets))
    for number, model in enumerate(report.names):
        judged = [report.judgements[model, dataset.title] for dataset in report.datasets]
        means = np.array([judgement.mean("map") for judgement in judged])
        low, high = np.array([judgement.interval("map") for judgement in judged]).T
        axes.bar(
            places + number * width, 100 * means, width, yerr=100 * np.array([means - low, high - means]), label=model
        )
    axes.set_xticks(
        places + 0.4 - width / 2, [dataset.title.replace("/", "\n") for dataset in report.datasets], fontsize=8
    )
    axes.set_ylabel("MAP, %, with 95 % interval")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return figure


def _panels(report: Report, draw: Callable[[Axes, Sequence[Judgement]], None]) -> Figure:
    columns = min(4, len(report.datasets))
    rows = -(-len(report.datasets) // columns)
    figure = Figure(figsize=(_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows + 0.6), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, dataset in zip(grid, report.datasets, strict=False):
        draw(axes, [report.judgements[model, dataset.title] for model in report.names])
        axes.set_title(dataset.title, fontsize=9)
    for axes in grid[len(report.datasets) :]:
        axes.set_axis_off()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=8)
    return figure


def _recall_curve(axes: Axes, judgements: Sequence[Judgement]) -> None:
    depths = [depth for depth in _DEPTHS if depth <= len(judgements[0].dataset.targets)]
    for judgement, style in zip(judgements, cycle(_STYLES)):
        recalls = [100 * judgement.mean(f"recall@{depth}") for depth in depths]
        axes.plot(depths, recalls, style, label=judgement.model)
    axes.set(xscale="log", xlabel="targets looked at", ylabel="recall, %", ylim=(0, 100))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _precision_spread(axes: Axes, judgements: Sequence[Judgement]) -> None:
    """The share of queries whose average precision is at most x: a curve further right is better."""
    for judgement, style in zip(judgements, cycle(_STYLES)):
        values = np.sort(100 * judgement.values("map"))
        shares = 100 * np.arange(1, len(values) + 1) / len(values)
        axes.step(values, shares, style, where="post", label=judgement.model)
    axes.set(xlabel="average precision of a query, %", ylabel="queries at or below, %", xlim=(0, 100), ylim=(0, 100))


def _save(figure: Figure, path: Path) -> Path:
    save_figure(figure, path)
    return path

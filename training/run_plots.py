"""The picture of a run: losses and validation by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.figure_file import save_figure
from training.run_log import STEP, VALIDATION

PLOT_FILE = "curves.png"
# Losses of single batches jump: a line through the mean of so many is what an eye would draw.
_SMOOTHED_STEPS = 10


def save_curves(log: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the lines of `metrics.jsonl`."""
    mpl.use("agg")  # no screen is needed, and none is there on servers
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    losses, validations = figure.subplots(1, 2)
    _draw_losses(losses, [line for line in log if line["kind"] == STEP])
    _draw_validations(validations, [line for line in log if line["kind"] == VALIDATION])
    for axes in (losses, validations):
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            axes.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=4, fontsize=8)
    save_figure(figure, path)


def _draw_losses(axes: Axes, lines: Sequence[Mapping[str, Any]]) -> None:
    for name in sorted({name for line in lines for name in line["losses"]}):
        points = [(line["step"], line["losses"][name]) for line in lines if name in line["losses"]]
        steps, values = np.array(points, dtype=np.float64).T
        width = min(_SMOOTHED_STEPS, len(values))
        smooth = np.convolve(values, np.full(width, 1 / width), mode="valid")
        (line,) = axes.plot(steps[width - 1 :], smooth, label=name)
        axes.plot(steps, values, color=line.get_color(), alpha=0.25, linewidth=0.8)
    axes.set(xlabel="step", ylabel=f"loss, mean of {_SMOOTHED_STEPS} steps")


def _draw_validations(axes: Axes, lines: Sequence[Mapping[str, Any]]) -> None:
    steps = [line["step"] for line in lines]
    for name in sorted({name for line in lines for name in line["metrics"] if name.endswith("/map")}):
        values = [line["metrics"].get(name, np.nan) for line in lines]
        average = name.startswith("average")
        axes.plot(steps, values, "o-", label=name.removesuffix("/map"), linewidth=2.5 if average else 1, markersize=3)
    axes.set(xlabel="step", ylabel="validation MAP, %")

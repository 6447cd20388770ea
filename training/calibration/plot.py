"""The reliability diagram: what share of the targets at each confidence is relevant, a panel per task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from training.calibration.fit import Reliability
from training.figure_file import save_figure

PLOT_FILE = "calibration.png"
_PANEL_INCHES = 3.0


def save_reliability(by_task: Mapping[str, Reliability], path: Path) -> None:
    """Draw each task; a point's label is how many targets it stands for."""
    mpl.use("agg")  # no screen is needed, and none is there on servers
    columns = min(3, len(by_task))
    rows = -(-len(by_task) // columns)
    figure = Figure(figsize=(_PANEL_INCHES * columns, _PANEL_INCHES * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, (task, found) in zip(panels, by_task.items(), strict=False):
        filled = found.pairs > 0
        axes.plot([0, 1], [0, 1], ":", color="gray")
        axes.plot(found.mean_confidence[filled], found.observed[filled], "o-", markersize=4)
        for x, y, count in zip(found.mean_confidence[filled], found.observed[filled], found.pairs[filled], strict=True):
            axes.annotate(f"{count:,.0f}", (x, y), textcoords="offset points", xytext=(4, -8), fontsize=6)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share relevant")
        axes.set_title(f"{task}, error {100 * found.calibration_error:.1f} %", fontsize=9)
    for axes in panels[len(by_task) :]:
        axes.set_axis_off()
    save_figure(figure, path)

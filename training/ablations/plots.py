"""The picture of an ablation: bars with intervals, curves over temperatures, or a map of gains."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.ablations.caption import error_of
from training.ablations.cells import AVERAGE_MAP
from training.ablations.report import AblationReport
from training.figure_file import save_figure

PLOT_FILE = "ablation.png"
_CAPTION_WIDTH = 120
_BASE_COLOUR = "black"


def save_plot(report: AblationReport, folder: Path) -> Path:
    """Write `ablation.png`."""
    mpl.use("agg")  # no screen is needed, and none is there on servers
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    match report.finding.name:
        case "temperature":
            _draw_curves(axes, report)
        case "transfer":
            _draw_gains(figure, axes, report)
        case _:
            _draw_bars(axes, report)
    figure.supxlabel(textwrap.fill(report.caption, _CAPTION_WIDTH), fontsize=7)
    save_figure(figure, folder / PLOT_FILE)
    return folder / PLOT_FILE


def _draw_bars(axes: Axes, report: AblationReport) -> None:
    """The axis begins where differences show, and says so; a line on each bar is the untrained base."""
    estimates = [runs.estimate(AVERAGE_MAP) for runs in report.runs]
    bases = [runs.cells[0].base[AVERAGE_MAP] for runs in report.runs]
    means = np.array([estimate.mean for estimate in estimates])
    errors = np.array([error_of(report.finding.name, estimate) or 0.0 for estimate in estimates])
    places = np.arange(len(means))
    axes.bar(places, means, 0.6, yerr=errors, capsize=6)
    axes.hlines(bases, places - 0.3, places + 0.3, color=_BASE_COLOUR, linestyle=":", label="untrained base")
    axes.set_xticks(places, [runs.variant.title.replace(" at ", "\nat ") for runs in report.runs])
    lowest, highest = min(*bases, *(means - errors)), max(*bases, *(means + errors))
    margin = 0.1 * (highest - lowest) + 0.5
    axes.set_ylim(max(0.0, lowest - margin), highest + margin)
    axes.set_ylabel("validation MAP, % (the axis does not begin at 0)")
    axes.legend()


def _draw_curves(axes: Axes, report: AblationReport) -> None:
    for family in dict.fromkeys(runs.variant.family for runs in report.runs):
        points = [runs for runs in report.runs if runs.variant.family == family]
        temperatures = [runs.variant.temperature or np.nan for runs in points]
        estimates = [runs.estimate(AVERAGE_MAP) for runs in points]
        errors = [error_of(report.finding.name, estimate) or 0.0 for estimate in estimates]
        bases = [runs.cells[0].base[AVERAGE_MAP] for runs in points]
        means = [estimate.mean for estimate in estimates]
        drawn = axes.errorbar(temperatures, means, yerr=errors, fmt="o-", capsize=4, label=family)
        axes.plot(temperatures, bases, ":", color=drawn.lines[0].get_color(), label=f"{family}, untrained")
    axes.set(xscale="log", xlabel="interaction temperature", ylabel="validation MAP, %")
    axes.legend()


def _draw_gains(figure: Figure, axes: Axes, report: AblationReport) -> None:
    columns = [*report.datasets, "average"]
    estimates = [[runs.gain(f"{name}/map") for name in columns] for runs in report.runs]
    gains = np.array([[estimate.mean for estimate in row] for row in estimates])
    bound = float(np.abs(gains).max()) or 1.0
    image = axes.imshow(gains, cmap="RdBu", vmin=-bound, vmax=bound, aspect="auto")
    for (row, column), gain in np.ndenumerate(gains):
        text = estimates[row][column].text(error_of(report.finding.name, estimates[row][column]), signed=True)
        colour = "white" if abs(gain) > 0.6 * bound else "black"
        axes.text(column, row, text.replace(" ± ", "\n± "), ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(columns)), columns, rotation=20, fontsize=8)
    axes.set_yticks(range(len(gains)), [runs.variant.name for runs in report.runs])
    axes.set_ylabel("trained on the graph")
    figure.colorbar(image, label="MAP over the untrained base, points")

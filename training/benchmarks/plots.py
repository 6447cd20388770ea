"""Pictures of benchmarks: how times spread, how they grow with load and with size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

_SIZE_INCHES = (7, 4)
_STYLES = ("-", "--", "-.", ":")


def spread(seconds: Mapping[str, Sequence[float]]) -> Figure:
    """The share of answers that took at most x, of each contestant: a curve further left is faster."""
    figure, axes = _figure()
    for number, (name, values) in enumerate(seconds.items()):
        shares = 100 * np.arange(1, len(values) + 1) / len(values)
        style = _STYLES[number % len(_STYLES)]
        axes.step(1000 * np.sort(np.array(values)), shares, style, where="post", label=name)
    axes.set(xscale="log", xlabel="milliseconds", ylabel="answers at or below, %", ylim=(0, 100))
    _plain(axes)
    return figure


def over_rate(curves: Mapping[str, Sequence[tuple[float, float]]], bound_ms: float) -> Figure:
    """Milliseconds against the rate, with the bound that p99 had to keep."""
    figure, axes = _figure()
    for number, (name, points) in enumerate(curves.items()):
        ascending = zip(*sorted(points), strict=True) if points else ((), ())
        axes.plot(*ascending, _STYLES[number % len(_STYLES)] + "o", label=name)
    axes.axhline(bound_ms, color="grey", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="requests a second", ylabel="milliseconds")
    _plain(axes)
    return figure


def over_targets(curves: Mapping[str, Sequence[tuple[int, float]]]) -> Figure:
    """Milliseconds against the number of targets, a curve for each number of queries."""
    figure, axes = _figure()
    for number, (name, points) in enumerate(curves.items()):
        axes.plot(*zip(*points, strict=True), _STYLES[number % len(_STYLES)] + "o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="targets", ylabel="milliseconds")
    _plain(axes)
    return figure


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    return figure, figure.subplots()


def _plain(axes: Axes) -> None:
    """Numbers in place of powers of ten, and the legend."""
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.legend(fontsize=8)

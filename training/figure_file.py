"""Pictures as files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from uwe_core.files import atomic_file

_DOTS_PER_INCH = 110


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; the file is the old or the new one.

    Raises:
        DiskFullError: there is no room for it.
    """
    with atomic_file(path) as aside:
        figure.savefig(aside, dpi=_DOTS_PER_INCH, format="png")

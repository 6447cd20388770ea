"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[Path, typer.Option(help="Folder of taxonomies and token indexes.", envvar="UWE_HOME")]
Model = Annotated[str, typer.Option(help="A built-in name, a folder, or a hub id.", envvar="UWE_MODEL")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n.", envvar="UWE_DEVICE")]
Data = Annotated[
    str, typer.Option(help="'sample', or a folder in the layout of docs/evaluation.md.", envvar="UWE_DATA_DIR")
]

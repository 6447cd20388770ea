"""The folder of everything that this machine keeps: taxonomies, token indexes, fetched models."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

_MODELS = "models"


def default_home() -> Path:
    """`UWE_HOME`, else the user's data folder."""
    named = os.environ.get("UWE_HOME")
    return Path(named).expanduser() if named else user_data_path("uwe")


def fetched_model(name: str) -> Path:
    """Where the weights of a built-in model lie once they are fetched."""
    return default_home() / _MODELS / name

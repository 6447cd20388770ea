"""What all tests share: shapes checked at run time, no network, models and data found or skipped with a reason."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before any import that reads it

from collections.abc import Iterator
from pathlib import Path

from jaxtyping import install_import_hook

# Shapes in signatures are checked in tests alone; the hook must be there before the package is imported.
_SHAPES = install_import_hook("uwe_core", "beartype.beartype")

import pytest
import torch
from hypothesis import settings

from uwe_core.device import cpu_quota
from uwe_core.model import UweModel

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")
torch.set_num_threads(cpu_quota())


@pytest.fixture(scope="session")
def embedded_model() -> UweModel:
    """The default model with its real weights; tests must not change it."""
    return UweModel.from_pretrained("embedded", device="cpu")


@pytest.fixture(scope="session")
def embedded_base() -> UweModel:
    """Its untrained base; tests must not change it."""
    return UweModel.from_pretrained("embedded-base", device="cpu")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """On tensors this small threads wait for each other longer than they work, and results are bit-equal."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The evaluation data."""
    return _folder("UWE_DATA_DIR", "the evaluation data (docs/evaluation.md)")


@pytest.fixture(scope="session")
def mpnet_dir() -> Path:
    """mpnet-base, as `uwe model get` writes it."""
    return _folder("UWE_MPNET_DIR", "a folder that `uwe model get mpnet-base` wrote")


def _folder(variable: str, what: str) -> Path:
    named = os.environ.get(variable)
    if not named:
        pytest.skip(f"{variable} does not name {what}")
    return Path(named)

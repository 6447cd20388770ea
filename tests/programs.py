"""Programs that tests run and that pip does not install."""

from __future__ import annotations

import os
import shutil

import pytest


def program(name: str) -> str:
    """The path of a program; without it the test is skipped, but for continuous integration, which installs it."""
    found = shutil.which(name)
    if found is None:
        message = f"{name} is not installed (tests/apt-packages.txt)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found

"""The package as a whole: the tree of errors, light imports, and docstrings."""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from uwe_core import errors


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    assert errors.__doc__ is not None
    drawn = []
    for line in errors.__doc__.splitlines():
        words = line.replace("│", " ").replace("├──", "   ").replace("└──", "   ")
        if words.strip().split(" ")[0].endswith("Error") and line.startswith("    "):
            drawn.append(((len(words) - len(words.lstrip()) - 4) // 4, words.split()[0]))
    found: list[tuple[int, str]] = []

    def walk(error: type[errors.UweError], depth: int) -> None:
        found.append((depth, error.__name__))
        for child in error.__subclasses__():
            walk(child, depth + 1)

    walk(errors.UweError, 0)
    assert drawn == found


@pytest.mark.parametrize("package", ["uwe_core", "service", "training"])
def test_importing_a_package_is_light(package: str) -> None:
    code = (
        f"import sys, {package}; print([name for name in ('torch', 'transformers', 'fastapi') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_everything_public_in_the_core_says_what_it_is() -> None:
    root = Path(errors.__file__).parent
    for path in root.rglob("*.py"):
        name = ".".join(path.relative_to(root.parent).with_suffix("").parts)
        if ".fused" in name and importlib.util.find_spec("triton") is None:
            continue  # torch's wheel for the CPU brings no Triton
        module = __import__(name, fromlist=["_"])
        assert module.__doc__, name
        for member_name, member in inspect.getmembers(module):
            own = getattr(member, "__module__", None) == name
            if own and not member_name.startswith("_") and (inspect.isclass(member) or inspect.isfunction(member)):
                assert inspect.getdoc(member), f"{name}.{member_name}"

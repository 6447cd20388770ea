"""Errors travel between processes."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Iterator

import pytest

from uwe_core import errors

# Of the types of constructors' arguments.
EXAMPLES = {
    "int": 3, "int | None": 3, "str": "a", "str | None": "a", "list[str]": ["b", "c"], "Path | str": "a.csv",
}  # fmt: skip


def example(kind: type[errors.UweError]) -> errors.UweError:
    """An error of that class, whatever its constructor asks for."""
    if kind.__init__ is Exception.__init__:
        return kind("because")
    asked = list(inspect.signature(kind.__init__).parameters.values())[1:]
    return kind(*(EXAMPLES[str(parameter.annotation)] for parameter in asked))


def classes(root: type[errors.UweError]) -> Iterator[type[errors.UweError]]:
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from classes(kind)


@pytest.mark.parametrize("kind", [*classes(errors.UweError)])
def test_an_error_survives_the_way_between_processes(kind: type[errors.UweError]) -> None:
    error = example(kind)
    error.add_note("and more")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (kind, str(error), vars(error))

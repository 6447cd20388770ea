"""Errors travel between processes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from uwe_core import errors

EXAMPLES = {
    errors.TextError: (3, "is empty"),
    errors.UnknownTaskError: ("a", ["b", "c"]),
    errors.UnknownSpaceError: ("a", ["b", "c"]),
    errors.DataError: ("a.csv", 3, "is no text"),
    errors.RateLimitError: ("too many", 7),
    errors.DivergenceError: (3, "the loss", ["nurse"]),
    errors.UnavailableError: ("not now", 7),
}


def classes(root: type[errors.UweError]) -> Iterator[type[errors.UweError]]:
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from classes(kind)


@pytest.mark.parametrize("kind", [*classes(errors.UweError)])
def test_an_error_survives_the_way_between_processes(kind: type[errors.UweError]) -> None:
    arguments = next((EXAMPLES[base] for base in kind.__mro__ if base in EXAMPLES), ("because",))
    error = kind(*arguments)
    error.add_note("and more")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (kind, str(error), vars(error))

"""Long lists of queries in parts, for both clients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from service.client.errors import ClientError

Item = TypeVar("Item")

BATCH_SIZE = 32
CONCURRENCY = 4


def batches(queries: Iterable[Item], batch_size: int, concurrency: int) -> Iterator[tuple[int, list[Item]]]:
    """Parts of `batch_size` queries or items, each with the position of its first.

    Raises:
        TypeError: `queries` is one text, whose characters nobody wants to rank.
        ValueError: a size below 1.
    """
    if isinstance(queries, str):
        raise TypeError("give several queries, not one text")
    if batch_size < 1 or concurrency < 1:
        raise ValueError("batch_size and concurrency must be at least 1")
    iterator = iter(queries)
    start = 0
    while batch := list(islice(iterator, batch_size)):
        yield start, batch
        start += len(batch)


@contextmanager
def telling_where(start: int) -> Iterator[None]:
    """Note on an error where the batch began, since the service counts its texts from there."""
    try:
        yield
    except ClientError as error:
        error.add_note(f"positions of texts are counted from query {start}")
        raise

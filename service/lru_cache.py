"""LruCache: what was used last, within a bound."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LruCache(Generic[Key, Value]):
    """Keeps the values that were used last; several threads may use it.

    Args:
        limit: of the weights of all values together; 0 keeps nothing.
        weigh: the weight of a value; a value heavier than the limit is not kept.
    """

    def __init__(self, limit: int, weigh: Callable[[Value], int] = lambda _: 1) -> None:
        self._limit = limit
        self._weigh = weigh
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def weight(self) -> int:
        """The weights of all values together."""
        return self._weight

    def get(self, key: Key) -> Value | None:
        """The value, which now counts as used last, or None."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: Key, value: Value) -> None:
        """Keep a value in place of those that were not used for longest."""
        weight = self._weigh(value)
        with self._lock:
            replaced = self._values.pop(key, None)
            if replaced is not None:
                self._weight -= self._weigh(replaced)
            if weight > self._limit:
                return
            self._values[key] = value
            self._weight += weight
            while self._weight > self._limit:
                _, dropped = self._values.popitem(last=False)
                self._weight -= self._weigh(dropped)

"""Stopping by signal: the first one asks, the second one does what the signal does by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Of a command that was asked to stop and did so with everything saved; shells use it for an interrupt.
STOPPED_STATUS = 130
_STANDARD_ERROR = 2


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Inside the block SIGTERM and SIGINT are noted: the function given says whether one has come."""
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)
        for each in _SIGNALS:
            signal.signal(each, before[each])
        line = f"\n{signal.Signals(number).name}: saving after this step; a second signal stops at once\n"
        os.write(_STANDARD_ERROR, line.encode())  # a stream may be in the middle of a write of its own

    for number in _SIGNALS:
        signal.signal(number, note)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

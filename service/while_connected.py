"""Gives up what a client no longer waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request


@asynccontextmanager
async def while_connected(request: Request) -> AsyncIterator[None]:
    """Cancel what is awaited inside when the client goes away; the request's body must have been read.

    The watching task begins only when something inside really waits, so an answer from the cache hardly pays for it.

    Raises:
        ClientDisconnect: the client went away.
    """
    waiting = asyncio.current_task()
    assert waiting is not None  # noqa: S101 - a coroutine runs in a task
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        waiting.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if gone and waiting.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        watcher.cancel()

"""NDJSON: one JSON value a line, read while it arrives and answered in order, with a bound of what is under way."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from uwe_core.errors import LimitError, UweError

NDJSON = "application/x-ndjson"
_STREAMED_PATH = re.compile(r"/rank/[^/]+/batch")
Item = TypeVar("Item")


class Line(NamedTuple):
    """A line that was read, counted from 1, or what is wrong with it; after `ends` nothing more is read."""

    number: int
    content: bytes
    error: UweError | None = None
    ends: bool = False


def is_stream(scope: Scope) -> bool:
    """Whether a request's body is read line by line, so that it may be of any length and take any time."""
    if not _STREAMED_PATH.fullmatch(scope["path"]):
        return False
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return len(kinds) == 1 and kinds[0].partition(b";")[0].strip().lower() == NDJSON.encode()


async def lines(chunks: AsyncIterable[bytes], longest: int) -> AsyncIterator[Line]:
    """The lines of a body, blank ones left out; of too long a line no more than `longest` bytes are ever kept.

    What goes wrong while reading, apart from the client's going away, is the last line.
    """
    number, kept, too_long = 1, bytearray(), False
    try:
        async for chunk in chunks:
            *ended, rest = chunk.split(b"\n")
            for part in ended:
                if too_long or len(kept) + len(part) > longest:
                    yield Line(number, b"", _too_long(longest))
                elif content := bytes(kept + part).strip():
                    yield Line(number, content)
                number, too_long = number + 1, False
                kept.clear()
            too_long = too_long or len(kept) + len(rest) > longest
            kept = bytearray() if too_long else kept + rest
    except UweError as error:
        yield Line(number, b"", error, ends=True)
        return
    if too_long:
        yield Line(number, b"", _too_long(longest))
    elif content := bytes(kept).strip():
        yield Line(number, content)


async def relay(
    items: AsyncIterable[Item],
    answer: Callable[[Item], Coroutine[Any, Any, bytes]],
    send: Callable[[bytes], Awaitable[None]],
    in_flight: int,
    receive: Receive | None = None,
) -> None:
    """Send the answer to each item, in their order.

    Items are read no faster than answers are taken: at most `in_flight` of them are computed, or wait to be sent.

    Args:
        items: read one by one.
        answer: of one item; must not raise.
        send: returns when there is room for more.
        in_flight: above 0.
        receive: of the connection; awaited when all items are read, to learn of a client that goes away.

    Raises:
        ClientDisconnect: the client went away; what was under way is cancelled.
    """
    room = asyncio.Semaphore(in_flight)
    waiting: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()
    gone = False
    try:
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(_write(waiting, room, send))
            async for item in items:
                await room.acquire()
                waiting.put_nowait(group.create_task(answer(item)))
            waiting.put_nowait(None)
            if receive is not None:
                watching = group.create_task(_watch(receive))
                writing.add_done_callback(lambda _: watching.cancel())
    except* ClientDisconnect:
        gone = True
    if gone:
        raise ClientDisconnect


async def _write(
    waiting: asyncio.Queue[asyncio.Task[bytes] | None],
    room: asyncio.Semaphore,
    send: Callable[[bytes], Awaitable[None]],
) -> None:
    while (answered := await waiting.get()) is not None:
        await send(await answered)
        room.release()


async def _watch(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect


def _too_long(longest: int) -> LimitError:
    return LimitError(f"the line is longer than {longest} bytes")

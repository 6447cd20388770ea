"""NDJSON: one JSON value a line, read while it arrives and answered in order, with a bound of what is under way."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any, NamedTuple, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from uwe_core.errors import LimitError, SlowBodyError, UweError

NDJSON = "application/x-ndjson"
_STREAMED_PATH = re.compile(r"/rank/[^/]+/batch")
# Of a body, read before they are used.
_AHEAD_BYTES = 1 << 16
Item = TypeVar("Item")


class Line(NamedTuple):
    """A line that was read, counted from 1, or what is wrong with it; after `ends` nothing more is read."""

    number: int
    content: bytes
    error: UweError | None = None
    ends: bool = False


def is_stream(path: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request's body is read line by line, so that it may be of any length and take any time."""
    if not _STREAMED_PATH.fullmatch(path):
        return False
    kinds = [value for name, value in headers if name == b"content-type"]
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


class ArrivingBody:
    """The body of a request, read a little ahead of its use: so it shows soon that the client goes away.

    Args:
        receive: of the connection; nobody else may await it.
        seconds: how long to wait for more when all that came is used.
        ahead: bytes that are held at most, and the message that exceeds them.
    """

    def __init__(self, receive: Receive, seconds: float, ahead: int = _AHEAD_BYTES) -> None:
        self._receive = receive
        self._seconds = seconds
        self._ahead = ahead
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._complete = False
        self._changed = asyncio.Condition()

    async def begin(self) -> None:
        """Wait for the first bytes.

        Raises:
            SlowBodyError: they did not come.
            ClientDisconnect: the client went away.
        """
        try:
            async with asyncio.timeout(self._seconds):
                await self._read_some()
        except TimeoutError:
            raise self._slow() from None

    async def read(self) -> None:
        """Read ahead, and then wait, until the client goes away.

        Raises:
            ClientDisconnect: it did.
        """
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._held < self._ahead)
            await self._read_some()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as they come, while `read` runs.

        Raises:
            SlowBodyError: no more came for too long.
        """
        while True:
            async with self._changed:
                try:
                    async with asyncio.timeout(self._seconds):
                        await self._changed.wait_for(lambda: self._chunks or self._complete)
                except TimeoutError:
                    raise self._slow() from None
                if not self._chunks:
                    return
                chunk = self._chunks.popleft()
                self._held -= len(chunk)
                self._changed.notify_all()
            yield chunk

    async def _read_some(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        async with self._changed:
            self._chunks.append(message.get("body", b""))
            self._held += len(self._chunks[-1])
            self._complete = not message.get("more_body", False)
            self._changed.notify_all()

    def _slow(self) -> SlowBodyError:
        return SlowBodyError(f"no more of the body arrived within {self._seconds:g} seconds")


async def relay(
    items: AsyncIterable[Item],
    answer: Callable[[Item], Coroutine[Any, Any, bytes]],
    send: Callable[[bytes], Awaitable[None]],
    in_flight: int,
    beside: Coroutine[Any, Any, None] | None = None,
) -> None:
    """Send the answer to each item, in their order.

    Items are taken no faster than answers are: at most `in_flight` of them are computed, or wait to be sent.

    Args:
        items: taken one by one.
        answer: of one item; must not raise.
        send: returns when there is room for more.
        in_flight: above 0.
        beside: runs until all is sent, such as `ArrivingBody.read`.

    Raises:
        ClientDisconnect: the client went away; what was under way is cancelled.
    """
    room = asyncio.Semaphore(in_flight)
    waiting: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()
    gone = False
    try:
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(_write(waiting, room, send))
            if beside is not None:
                running = group.create_task(beside)
                writing.add_done_callback(lambda _: running.cancel())
            async for item in items:
                await room.acquire()
                waiting.put_nowait(group.create_task(answer(item)))
            waiting.put_nowait(None)
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


def _too_long(longest: int) -> LimitError:
    return LimitError(f"the line is longer than {longest} bytes")

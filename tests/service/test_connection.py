"""Slow, large and many: what a hostile client does to a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from service.app import create_app
from service.connection import ServerConfig
from service.settings import Settings
from tests.service.conftest import FakeRanker

BODY = json.dumps({"query": "nurse"}).encode()
HEAD = b"POST /rank/job2skill HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
WHOLE = HEAD % len(BODY) + BODY
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Service:
    """The application behind uvicorn on a free port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> Stream:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[Service]:
    settings = Settings(**{"body_seconds": 0.2, "header_seconds": 0.2, "max_header_bytes": 1000, **limits})
    server = uvicorn.Server(ServerConfig(settings, create_app(settings, FakeRanker()), port=0, log_config=None))
    running = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.005)
    service = Service(server.servers[0].sockets[0].getsockname()[1])
    try:
        yield service
    finally:
        await service.close()
        server.should_exit = True
        await running


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(limited())


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next answer; no status where the connection is closed instead."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return 0, b""
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    return int(head.split()[1]), await reader.readexactly(int(lines[b"content-length"]))


async def is_closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def trickle(writer: asyncio.StreamWriter) -> None:
    """A byte now and then, for as long as somebody listens."""
    while not writer.is_closing():
        writer.write(b"x")
        await asyncio.sleep(0.01)


def test_a_body_that_trickles_is_answered_408_and_the_connection_closed() -> None:
    async def test() -> None:
        async with serving() as service:
            reader, writer = await service.connect()
            writer.write(HEAD % 1000)
            trickling = asyncio.create_task(trickle(writer))
            status, body = await answer(reader)
            assert status == 408
            assert json.loads(body)["error"]["code"] == "request_timeout"
            assert await is_closed(reader)
            trickling.cancel()

    run(test)


@pytest.mark.parametrize("start", [b"GET /", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_headers_that_trickle_close_the_connection(start: bytes) -> None:
    async def test() -> None:
        async with serving() as service:
            reader, writer = await service.connect()
            writer.write(start)
            trickling = asyncio.create_task(trickle(writer))
            assert await is_closed(reader)
            trickling.cancel()

    run(test)


def test_silence_is_closed_too_and_a_second_request_is_as_limited_as_the_first() -> None:
    async def test() -> None:
        async with serving() as service:
            silent, _ = await service.connect()
            reader, writer = await service.connect()
            writer.write(WHOLE)
            assert (await answer(reader))[0] == 200
            writer.write(WHOLE[:30])
            assert await is_closed(silent)
            assert await is_closed(reader)

    run(test)


def test_a_connection_lives_longer_than_the_limit_of_one_request() -> None:
    async def test() -> None:
        async with serving() as service:
            reader, writer = await service.connect()
            for _ in range(3):
                for piece in (WHOLE[:20], WHOLE[20:-5], WHOLE[-5:]):
                    writer.write(piece)
                    await asyncio.sleep(0.03)
                assert (await answer(reader))[0] == 200
                await asyncio.sleep(0.08)

    run(test)


@pytest.mark.parametrize("complete", [True, False])
def test_large_headers_are_refused(complete: bool) -> None:
    async def test() -> None:
        async with serving() as service:
            reader, writer = await service.connect()
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ")
            await asyncio.sleep(0.02)
            writer.write(b"x" * 2000 + (b"\r\n\r\n" if complete else b""))
            assert (await answer(reader))[0] == 400
            assert await is_closed(reader)

    run(test)


def test_connections_beyond_the_limit_are_closed_and_the_others_served() -> None:
    async def test() -> None:
        # Connections that wait for their turn, on a machine that pauses, are not to be closed for being slow.
        async with serving(max_connections=2, header_seconds=10.0) as service:
            streams = [await service.connect() for _ in range(2)]
            for reader, writer in streams:
                writer.write(WHOLE)
                assert (await answer(reader))[0] == 200
            refused, _ = await service.connect()
            assert await is_closed(refused)
            for reader, writer in streams:
                writer.write(WHOLE)
                assert (await answer(reader))[0] == 200

    run(test)


def test_a_stream_of_lines_may_last_as_long_as_lines_come_and_no_longer() -> None:
    head = b"POST /rank/job2skill/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
    line = b'{"query": "nurse", "top_k": 1}\n'

    async def test() -> None:
        async with serving() as service:
            reader, writer = await service.connect()
            writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
            for number in range(1, 11):  # longer than a body may take, and than the connection is then kept
                await asyncio.sleep(0.14)
                writer.write(b"%x\r\n%s\r\n" % (len(line), line))
                while b'"line"' not in (told := await reader.readline()):
                    pass
                assert json.loads(told)["line"] == number
            while b'"line"' not in (told := await reader.readline()):
                pass
            assert json.loads(told)["error"]["code"] == "request_timeout"

    run(test)

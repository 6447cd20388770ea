"""A server's memory under many requests of many kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.client import AsyncUweClient
from tests.service.live.servers import running_tiny

# Requests after which caches are full and allocators have what they need, and those that must need nothing more.
_FIRST, _MORE = 10_000, 40_000
_CALLERS = 16
_MOST_GROWTH = 16 * 2**20


async def ask(client: AsyncUweClient, numbers: Iterator[int]) -> None:
    """As many requests as there are numbers, each of another text."""
    for number in numbers:
        text = f"nurse {number} {'a ' * (number % 40)}"
        match number % 4:
            case 0:
                await client.rank("jobnorm", text, explain=number % 8 == 0)
            case 1:
                await client.rank_targets(text, ["weld metal", f"baker {number}"])
            case 2:
                await client.embed([text, f"{number} welder"])
            case _:
                await client.rank_space("fixed-skills", text, top_k=1)


async def ask_together(address: str, numbers: range) -> None:
    async with AsyncUweClient(address) as client:
        shared = iter(numbers)
        await asyncio.gather(*(ask(client, shared) for _ in range(_CALLERS)))


@pytest.mark.heavy
def test_memory_is_flat(tmp_path: Path, model: str) -> None:
    small_caches = {"UWE_ANSWER_CACHE_ENTRIES": "500", "UWE_EMBEDDING_CACHE_BYTES": "1000000"}
    with running_tiny(tmp_path, model, **small_caches) as server, server.ready() as http:
        process = psutil.Process(server.process.pid)
        asyncio.run(ask_together(str(http.base_url), range(_FIRST)))
        before = process.memory_info().rss
        asyncio.run(ask_together(str(http.base_url), range(_FIRST, _FIRST + _MORE)))
        grown = process.memory_info().rss - before
    print(f"{before / 2**20:.1f} MiB after {_FIRST} requests, {grown / 2**20:+.1f} MiB after {_MORE} more")  # noqa: T201
    assert grown < _MOST_GROWTH

"""Versions change while many requests are answered: every answer is wholly of one of them."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.client import AsyncUweClient
from tests.service.live.conftest import put, ranked
from tests.service.live.servers import running_tiny

# The same ids and, in another order, the same texts: only whole versions can be told apart.
_TEXTS = ("nurse", "welder", "bake bread", "weld metal", "care for people", "take blood pressure")
VERSIONS = {
    name: [
        {"id": f"{number}", "text": text, "metadata": {"version": name}} for number, text in enumerate(texts, start=1)
    ]
    for name, texts in (("a", _TEXTS), ("b", _TEXTS[::-1]))
}


def check_whole(targets: list[Any], fingerprint: str, fingerprints: dict[str, str]) -> str:
    """Every target of an answer is of the version that the answer names, and all of it is there."""
    versions: set[str] = {target["metadata"]["version"] for target in targets}
    (version,) = versions
    assert fingerprints[version] == fingerprint
    texts = {target["id"]: target["text"] for target in VERSIONS[version]}
    assert {target["id"]: target["text"] for target in targets} == texts
    return version


@pytest.mark.parametrize("explain", [False, True])
def test_every_answer_is_of_one_version(client: TestClient, explain: bool) -> None:
    fingerprints = {name: put(client, "courses", *VERSIONS[name])["fingerprint"] for name in ("b", "a")}
    over = threading.Event()

    def ask(number: int) -> set[str]:
        seen = set()
        for again in itertools.count():
            queries = [f"nurse {'a ' * (again % 7)}b", "welder " + "c " * number]  # few of them are in the cache
            body = {"space": "courses", "queries": queries, "top_k": 10, "explain": explain}
            answer = client.post("/rank", json=body).json()
            for result in answer["results"]:
                seen.add(check_whole(result["targets"], answer["index"]["fingerprint"], fingerprints))
            if over.is_set():
                return seen
        raise AssertionError

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask, number) for number in range(4)]
        try:
            for name in "ba" * 4:
                put(client, "courses", *VERSIONS[name])
        finally:
            over.set()
        seen = [future.result() for future in asking]
    assert set().union(*seen) == {"a", "b"}
    assert len(ranked(client, "courses")) == 6


async def ask(client: AsyncUweClient, fingerprints: dict[str, str], seen: Counter[str], numbers: Iterator[int]) -> None:
    """As many requests as there are numbers."""
    for number in numbers:
        queries = [f"nurse {'a ' * (number % 17)}", f"welder {'b ' * (number % 19)}", "take care"]
        answer = await client.rank_space("courses", queries, top_k=10, explain=number % 5 == 0)
        for result in answer.results:
            targets = [vars(target) for target in result.targets]
            seen[check_whole(targets, answer.index.fingerprint, fingerprints)] += 1


async def change_until(asked: asyncio.Future[Any], client: AsyncUweClient) -> int:
    """Upload one version after the other; the number of uploads."""
    for swaps, name in enumerate(itertools.cycle("ba")):
        if asked.done():
            return swaps
        await client.wait_for(await client.put_space("courses", VERSIONS[name]), seconds_between=0.02)
    raise AssertionError


async def ask_while_versions_change(address: str) -> None:
    """10,000 requests of three queries by 32 callers at once."""
    async with AsyncUweClient(address) as client:
        fingerprints, seen = {}, Counter[str]()
        for name in ("b", "a"):
            job = await client.wait_for(await client.put_space("courses", VERSIONS[name]))
            fingerprints[name] = job.fingerprint or ""
        numbers = iter(range(10_000))
        asked = asyncio.gather(*(ask(client, fingerprints, seen, numbers) for _ in range(32)))
        assert await change_until(asked, client) > 10
        await asked
        assert seen.total() == 30_000
        assert min(seen["a"], seen["b"]) > 1000


@pytest.mark.heavy
def test_ten_thousand_answers_over_a_socket_are_each_of_one_version(tmp_path: Path, model: str) -> None:
    with running_tiny(tmp_path, model) as server, server.ready() as http:
        asyncio.run(ask_while_versions_change(str(http.base_url)))

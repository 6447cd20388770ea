"""A server that is killed while it takes an upload starts again with the old or the new space, never a mixture."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.live.servers import running_tiny

_WORDS = "nurse welder baker weld metal bake bread care for people take blood pressure".split()  # noqa: SIM905


def version(number: int) -> list[dict[str, Any]]:
    """300 targets whose metadata and whose texts tell which version they are of."""
    drawn = random.Random(number)
    return [
        {"id": f"{target}", "text": " ".join(drawn.choices(_WORDS, k=8)), "metadata": {"version": number}}
        for target in range(300)
    ]


def check_whole(client: httpx.Client, allowed: set[int]) -> int:
    """The one version that is served."""
    body = {"space": "courses", "query": "nurse", "top_k": 1000}
    answer = client.post("/rank", json=body).json()
    targets = answer["results"][0]["targets"]
    (number,) = {target["metadata"]["version"] for target in targets}
    assert number in allowed
    assert {target["id"]: target["text"] for target in targets} == {
        target["id"]: target["text"] for target in version(number)
    }
    assert client.get("/spaces/courses").json()["index_fingerprint"] == answer["index"]["fingerprint"]
    return int(number)


@pytest.mark.heavy
def test_twenty_kills_leave_whole_spaces(tmp_path: Path, model: str) -> None:
    drawn = random.Random(1)
    with running_tiny(tmp_path, model) as server, server.ready() as client:
        job = client.put("/spaces/courses", json={"targets": version(0)}).json()
        while client.get(f"/jobs/{job['id']}").json()["finished"] is None:
            time.sleep(0.01)
        seconds = _seconds_of(client, version(-1)) + _seconds_of(client, version(0))
    live, moved = 0, 0
    for number in range(1, 21):
        with running_tiny(tmp_path, model) as server, server.ready() as client:
            client.put("/spaces/courses", json={"targets": version(number)})
            time.sleep(drawn.uniform(0, seconds))
            server.process.kill()
            server.process.wait()
        with running_tiny(tmp_path, model) as server, server.ready() as client:
            found = check_whole(client, {live, number})
            moved += found != live
            live = found
        names = {path.name for path in (tmp_path / "spaces" / "courses").iterdir()}
        assert len(names) <= 3  # the pointer, the live version and the one before
        assert not list((tmp_path / "spaces").rglob("*.part"))
    assert 0 < moved < 20


def _seconds_of(client: httpx.Client, targets: list[dict[str, Any]]) -> float:
    start = time.monotonic()
    job = client.put("/spaces/courses", json={"targets": targets}).json()
    while client.get(f"/jobs/{job['id']}").json()["finished"] is None:
        time.sleep(0.005)
    return time.monotonic() - start

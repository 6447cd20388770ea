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


def seconds_of(client: httpx.Client, targets: list[dict[str, Any]]) -> float:
    start = time.monotonic()
    job = client.put("/spaces/courses", json={"targets": targets}).json()
    while client.get(f"/jobs/{job['id']}").json()["finished"] is None:
        time.sleep(0.005)
    return time.monotonic() - start


@pytest.mark.heavy
@pytest.mark.parametrize("kills", [20])
def test_kills_during_uploads_leave_whole_spaces(tmp_path: Path, model: str, kills: int) -> None:
    drawn = random.Random(1)
    with running_tiny(tmp_path, model) as server, server.ready() as client:
        seconds = max(seconds_of(client, version(number)) for number in (-2, -1, 0))
    live, moved = 0, 0
    for number in range(1, kills + 2):
        with running_tiny(tmp_path, model) as server, server.ready() as client:
            found = check_whole(client, {live, number - 1})
            moved += found != live
            live = found
            assert not list((tmp_path / "spaces").rglob("*.part"))
            # The pointer, the live version and the one before.
            assert len(list((tmp_path / "spaces" / "courses").iterdir())) <= 3
            client.put("/spaces/courses", json={"targets": version(number)})
            time.sleep(drawn.uniform(0, 1.5 * seconds))
            server.process.kill()
            server.process.wait()
    assert 0 < moved < kills


@pytest.mark.heavy
def test_sigterm_stops_an_upload_between_two_texts_and_leaves_nothing_of_it(tmp_path: Path, model: str) -> None:
    with running_tiny(tmp_path, model) as server, server.ready() as client:
        seconds_of(client, version(0))
        targets = [target for number in range(1, 40) for target in version(number)]
        many = [{**target, "id": f"{number}"} for number, target in enumerate(targets)]
        client.put("/spaces/courses", json={"targets": many})
        while not client.get("/jobs").json()["jobs"][0]["done"]:
            time.sleep(0.01)
        start = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - start < 3
    assert not [path for kind in ("spaces", "indexes") for path in (tmp_path / kind).rglob("*.part")]
    assert len([path for path in (tmp_path / "spaces" / "courses").iterdir() if path.is_dir()]) == 1
    with running_tiny(tmp_path, model) as server, server.ready() as client:
        assert check_whole(client, {0}) == 0

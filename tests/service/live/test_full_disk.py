"""Uploads onto a disk without room: the old version goes on answering, and room is all that the upload needs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from service.client import UweClient
from service.client.errors import JobFailedError
from service.errors import STATUSES
from tests.full_disks import files_in, filled, flushed, limited, small_disk
from tests.service.live.conftest import Start, contents, finished, put, upload
from tests.service.live.servers import running_tiny
from uwe_core.errors import DiskFullError

_WORDS = ["nurse", "welder", "baker", "weld", "metal", "bake", "bread", "care", "for", "people", "take", "blood"]
_KEPT = ("spaces", "indexes")


def targets(seed: int) -> list[dict[str, Any]]:
    """100 targets of eight words and their version."""
    drawn = random.Random(seed)
    return [
        {"id": f"{number}", "text": " ".join(drawn.choices(_WORDS, k=8)), "metadata": {"version": seed}}
        for number in range(100)
    ]


def stored(home: Path) -> dict[str, bytes]:
    return {name: held for name, held in files_in(home).items() if name.split("/")[0] in _KEPT and ".lock" not in name}


@pytest.mark.parametrize("no_room", [limited, flushed])
def test_an_upload_without_room_leaves_nothing_of_itself(no_room: Any, client: TestClient, home: Path) -> None:
    put(client, "courses", *targets(1))
    before, live = stored(home), client.get("/spaces/courses").json()
    with no_room():
        for method, path, body in (
            ("PUT", "/spaces/courses", upload(*targets(2))),
            ("PUT", "/spaces/diplomas", upload(*targets(2))),
            ("PATCH", "/spaces/courses", {"put": [{"id": "new", "text": "nurse"}]}),
        ):
            error = finished(client, client.request(method, path, json=body), "failed")["error"]
            assert error["code"] == "disk_full"
            assert "no room" in error["message"]
            assert str(home) not in error["message"]  # where files lie is for the log
    assert stored(home) == before
    assert client.get("/spaces/courses").json() == live
    assert {space["name"] for space in client.get("/spaces").json()["spaces"]}.isdisjoint({"diplomas"})
    assert contents(client, "courses")["7"] == (targets(1)[7]["text"], {"version": 1})
    put(client, "courses", *targets(2))
    assert contents(client, "courses")["7"] == (targets(2)[7]["text"], {"version": 2})


def test_a_version_without_room_for_its_index_takes_none(client: TestClient, home: Path) -> None:
    """The texts fit, the index does not: what was written of the version is removed, and not by the next start."""
    put(client, "courses", *targets(1))
    before = stored(home)
    largest = max(len(held) for name, held in before.items() if name.endswith("parquet"))
    with limited(largest + 2_000):
        finished(client, client.put("/spaces/courses", json=upload(*targets(2))), "failed")
    assert stored(home) == before


def test_the_log_names_the_file(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with flushed():
        finished(client, client.put("/spaces/courses", json=upload("nurse")), "failed")
    assert any("/spaces/courses/" in line and "cannot be written" in line for line in caplog.messages)


def test_over_http_it_is_the_servers_lack_of_storage() -> None:
    assert STATUSES[DiskFullError] == (507, "disk_full")


def test_a_server_on_a_real_full_disk_goes_on_and_takes_the_upload_when_there_is_room(
    tmp_path: Path, model: str
) -> None:
    home = tmp_path / "disk"
    with (
        small_disk(home),
        running_tiny(home, model) as server,
        server.ready() as http,
        UweClient(str(http.base_url)) as client,
    ):
        client.wait_for(client.put_space("courses", targets(1)))
        before = stored(home)
        with filled(home):
            for _ in range(3):
                job = client.put_space("courses", targets(2))
                with pytest.raises(JobFailedError, match="disk_full"):
                    client.wait_for(job)
                assert versions(http) == {1}
            assert stored(home) == before
        client.wait_for(client.put_space("courses", targets(2)))
        assert versions(http) == {2}
        assert server.stop() == 0


def versions(http: httpx.Client) -> set[int]:
    body = {"space": "courses", "query": "nurse", "top_k": 100}
    (result,) = http.post("/rank", json=body).json()["results"]
    assert len(result["targets"]) == 100
    return {target["metadata"]["version"] for target in result["targets"]}


def test_a_start_that_finds_no_room_for_an_index_says_so(start: Start) -> None:
    with flushed(), pytest.raises(DiskFullError, match="/indexes/fixed-"):
        start()

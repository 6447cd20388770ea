"""The clients' calls for spaces, against the real application."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from service import client as uwe
from tests.service.client.servers import forwarded
from tests.service.live.conftest import Start, ranker_of

_TARGETS: list[dict[str, Any]] = [
    {"id": "1", "text": "nurse", "metadata": {"hours": 6}},
    {"id": "2", "text": "welder", "aliases": ["weld metal"]},
]


def of(client: TestClient) -> uwe.UweClient:
    return uwe.UweClient("http://127.0.0.1", transport=forwarded(client), retries=uwe.Retries(1))


def test_spaces_are_uploaded_changed_ranked_and_removed(client: TestClient, tmp_path: Path) -> None:
    with of(client) as blocking:
        told: list[uwe.Job] = []
        job = blocking.put_space("courses", _TARGETS, language="en-GB", licence="CC0-1.0")
        job = blocking.wait_for(job, told.append, 0.01)
        assert (job.state, job.done, job.total, job.encoded, job.error) == ("finished", 3, 3, 3, None)
        assert not told or told[-1] == job
        assert blocking.job(job.id) == job
        (space,) = (space for space in blocking.spaces() if space.name == "courses")
        assert (space.language, space.licence, space.editable, space.targets) == ("en-GB", "CC0-1.0", True, 2)
        assert space.index_fingerprint == job.fingerprint
        changed = blocking.wait_for(blocking.patch_space("courses", put=[{"id": "3", "text": "baker"}], remove=["1"]))
        assert changed.fingerprint is not None
        answer = blocking.rank_space("courses", ["nurse", "baker"], top_k=5)
        assert [{target.id for target in result.targets} for result in answer.results] == [{"2", "3"}] * 2
        assert answer.task == "zero-shot"
        before = blocking.rank_space("courses", "nurse", fingerprint=space.index_fingerprint)
        assert {target.id for target in before.results[0].targets} == {"1", "2"}
        with pytest.raises(uwe.ConflictError, match=changed.fingerprint) as refused:
            blocking.rank_space("courses", "nurse", fingerprint="0" * 64)
        assert (refused.value.status, refused.value.code) == (409, "stale_fingerprint")
        (tmp_path / "courses.csv").write_text("id,text\n9,bake bread\n")
        for csv in (tmp_path / "courses.csv", b"id,text\n9,bake bread\n"):
            blocking.wait_for(blocking.put_space("courses", csv, kind="skill", attribution="by us & others"))
            (space,) = (space for space in blocking.spaces() if space.name == "courses")
            assert (space.kind, space.attribution, space.targets) == ("skill", "by us & others", 1)
        blocking.wait_for(blocking.delete_space("courses"))
        with pytest.raises(uwe.UnknownSpaceError):
            blocking.rank_space("courses", "nurse")


def test_a_change_that_cannot_be_made_is_an_error(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OSError("no space left on device")

    with of(client) as blocking:
        blocking.wait_for(blocking.put_space("courses", _TARGETS))
        monkeypatch.setattr(ranker_of(client).model.encoder, "hidden", fail)
        with pytest.raises(uwe.JobFailedError, match="its log") as failed:
            blocking.wait_for(blocking.put_space("courses", [{"id": "1", "text": "take care"}]))
        assert failed.value.code == "internal_error"
        assert len(blocking.rank_space("courses", "nurse").results[0].targets) == 2


def test_the_asynchronous_client_does_the_same(start: Start) -> None:
    app = start().app

    async def test() -> None:
        transport = httpx.ASGITransport(app)
        async with uwe.AsyncUweClient("http://127.0.0.1", transport=transport) as client:
            told: list[uwe.Job] = []
            job = await client.wait_for(await client.put_space("courses", _TARGETS), told.append, 0.01)
            assert await client.job(job.id) == job
            job = await client.wait_for(await client.patch_space("courses", remove=["1"], fingerprint=job.fingerprint))
            assert job.fingerprint is not None
            answer = await client.rank_space("courses", "nurse", fingerprint=job.fingerprint)
            assert [target.id for target in answer.results[0].targets] == ["2"]
            assert "courses" in {space.name for space in await client.spaces()}
            await client.wait_for(await client.delete_space("courses"))
            assert all(a.done <= b.done for a, b in itertools.pairwise(told))

    asyncio.run(test())

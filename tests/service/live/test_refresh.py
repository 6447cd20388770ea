"""What other processes finish is served without a restart; and versions whose time is over are dropped."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.live import LiveSpaces
from service.live.uploads import read_patch, read_upload
from tests.service.live.conftest import Start, contents, finished, put, ranked, ranker_of
from uwe_core.index_update import index_reusing
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.token_index import TokenIndex, index_folder


def live_of(client: TestClient) -> LiveSpaces:
    live: LiveSpaces = client.app.state.service.loaded.live  # type: ignore[attr-defined]
    return live


def save_taxonomy(home: Path, *texts: str) -> TargetSpace:
    space = TargetSpace(SpaceInfo(name="tiny-skills"), [f"{number}" for number in range(len(texts))], texts)
    space.save(home / "taxonomies" / "tiny" / "skills")
    return space


@pytest.fixture
def taxonomy(start: Start, home: Path) -> TestClient:
    """A server that ranks an imported taxonomy, and looks for new files."""
    save_taxonomy(home, "nurse", "welder")
    task: Any = {"name": "find", "description": "", "queries": "", "target_space": "tiny-skills", "example": "nurse"}
    return start(refresh_seconds=3600, tasks={"find": task})


def test_a_taxonomy_imported_and_indexed_anew_is_served(taxonomy: TestClient, home: Path) -> None:
    ranker = ranker_of(taxonomy)
    before = ranker.spaces["tiny-skills"]
    live_of(taxonomy).look_around()
    assert ranker.spaces["tiny-skills"] is before
    space = save_taxonomy(home, "nurse", "baker", "bake bread")
    live_of(taxonomy).look_around()
    assert ranker.spaces["tiny-skills"] is before  # its index is not there yet
    index = TokenIndex.build(ranker.model.encoder, space)
    index.save(index_folder(home / "indexes", ranker.model.encoder, space, "float32"))
    live_of(taxonomy).look_around()
    answer = taxonomy.post("/rank/find", json={"query": "nurse"}).json()
    assert {target["text"] for target in answer["results"][0]["targets"]} == {"nurse", "baker", "bake bread"}
    assert len(ranked(taxonomy, "tiny-skills", fingerprint=before.fingerprint)) == 2
    assert taxonomy.get("/spaces/tiny-skills").json()["previous_fingerprint"] == before.fingerprint


def test_a_broken_taxonomy_changes_nothing(taxonomy: TestClient, home: Path) -> None:
    (home / "taxonomies" / "tiny" / "skills" / "space.json").write_text("{")
    with pytest.raises(Exception, match="cannot be read"):
        live_of(taxonomy).look_around()
    assert len(ranked(taxonomy, "tiny-skills")) == 2


def test_spaces_of_another_process_come_change_and_go(start: Start, home: Path, tmp_path: Path) -> None:
    client = start(refresh_seconds=3600)
    ranker = ranker_of(client)

    def elsewhere(*targets: str) -> None:
        """What another server does in the same home."""
        body = [{"id": f"{number}", "text": text} for number, text in enumerate(targets)]
        space = read_upload("courses", f'{{"targets": {body}}}'.replace("'", '"').encode())
        index = index_reusing(ranker.model.encoder, space, "float32")
        folder = index_folder(home / "indexes", ranker.model.encoder, space, "float32")
        store = live_of(client)._versions.catalogue().live_spaces
        store.publish(space, lambda: index.save(folder))

    elsewhere("nurse", "welder")
    live_of(client).look_around()
    assert len(contents(client, "courses")) == 2
    assert client.get("/spaces/courses").json()["editable"]
    elsewhere("baker")
    live_of(client).patch("courses", read_patch("courses", b'{"put": [{"id": "x", "text": "bread"}]}'))
    job = live_of(client).jobs()[0]
    assert finished(client, _Accepted(job.id))["total"] == 2  # made of the newest version
    assert sorted(text for text, _ in contents(client, "courses").values()) == ["baker", "bread"]
    shutil.rmtree(home / "spaces" / "courses")
    live_of(client).look_around()
    assert client.get("/spaces/courses").status_code == 404


class _Accepted:
    status_code = 202

    def __init__(self, identifier: str) -> None:
        self._id = identifier

    def json(self) -> dict[str, str]:
        return {"id": self._id}


def test_nobody_looks_where_settings_say_so(start: Start, home: Path) -> None:
    client = start(refresh_seconds=0)
    put(client, "courses", "nurse")
    shutil.rmtree(home / "spaces" / "courses")
    live_of(client).look_around()
    assert client.get("/spaces/courses").status_code == 200

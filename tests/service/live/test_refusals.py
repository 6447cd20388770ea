"""What is refused: names, uploads and changes that cannot be used. One server for all of it, since nothing changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from service.app import create_app
from service.loading import load_ranker
from tests.service.live.conftest import FIXED, put, ranked, refusal, settings_of, upload


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "fixed.csv").write_text(FIXED)
    return folder


@pytest.fixture(scope="module")
def client(home: Path, model: str) -> Iterator[TestClient]:
    threads = torch.get_num_threads()
    settings = settings_of(home, model)
    with TestClient(create_app(settings, load_ranker(settings, lambda _: None)), "http://127.0.0.1") as client:
        put(client, "ours", "nurse", {"id": "2", "text": "baker", "metadata": {"hours": 6}})
        yield client
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", ["fixed-skills", "sample-skills"])
def test_spaces_of_settings_and_the_sample_cannot_be_changed(client: TestClient, name: str) -> None:
    for response in (
        client.put(f"/spaces/{name}", json=upload("nurse")),
        client.patch(f"/spaces/{name}", json={"remove": ["1"]}),
        client.delete(f"/spaces/{name}"),
    ):
        assert refusal(response)[:2] == (409, "read_only_space")


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..%2fetc", ".hidden", "A", "a b", "a%00b", "%2fetc%2fpasswd", "x" * 65, "ä", "a%5cb"]
)
def test_no_name_leads_out_of_the_folder(client: TestClient, home: Path, name: str) -> None:
    files = sorted(path for path in home.rglob("*") if "indexes" not in path.parts)
    for response in (
        client.put(f"/spaces/{name}", json=upload("nurse")),
        client.patch(f"/spaces/{name}", json={"remove": ["1"]}),
        client.delete(f"/spaces/{name}"),
    ):
        assert response.status_code in (404, 405, 422), response.text
    assert sorted(path for path in home.rglob("*") if "indexes" not in path.parts) == files


def one(**fields: Any) -> dict[str, Any]:
    return {"targets": [{"id": "x", "text": "nurse", **fields}]}


def two(**fields: Any) -> dict[str, Any]:
    return {"targets": [{"id": "x", "text": "nurse", "metadata": {"a": 1}}, {"text": "baker", **fields}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"targets": []}, "targets: "),
        (one(text=""), "target 'x': text: "),
        (two(id="y", text=1), "target 'y': text: "),
        (two(), "target 1: id: "),
        (two(id="x"), "the id 'x' stands for more than one"),
        (two(id="y", text="a\x00b"), "the text of 'y' "),
        (one(text=" "), "the text of 'x' "),
        (two(id="y", text="unheard"), "the text of 'y' "),
        (one(metadata={"text": 1}), "target 'x': metadata cannot have the key 'text'"),
        (one(metadata={"a": {"b": 1}}), "target 'x': metadata.a"),
        (one(metadata={"a": [1, "b"]}), "target 'x': metadata 'a' is a list of"),
        (two(id="y", metadata={"a": "1"}), "target 'y': metadata 'a' is a text, and a number in 'x'"),
        (one(aliases=["a\x00b"]), "target 'x': an alias "),
        (one() | {"language": "not a tag!"}, "language: "),
        (one() | {"nonsense": 1}, "nonsense: "),
        ([], "courses: "),
    ],
)
def test_bad_uploads_name_the_target_and_change_nothing(client: TestClient, body: Any, message: str) -> None:
    status, code, told = refusal(client.put("/spaces/courses", json=body))
    assert (status, code) == (422, "invalid_data")
    assert message in told
    assert len(client.get("/jobs").json()["jobs"]) == 1
    assert client.get("/spaces/courses").status_code == 404


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"targets": [{"id": "x", "text": "\\ud800"}]}', b"\xff\xfe", b'{"targets": NaN}']
)
def test_what_is_no_json_is_refused(client: TestClient, content: bytes) -> None:
    assert refusal(client.put("/spaces/courses", content=content))[:2] == (422, "invalid_data")
    assert refusal(client.patch("/spaces/ours", content=content))[:2] == (422, "invalid_data")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,words\n1,nurse\n", "no column text"),
        ("", "CSV"),
        ("id,text\n1,nurse\n1,baker\n", "the id '1'"),
        ("id,text\n,nurse\n", "id is"),
        ("id,text\n1,\n", "the text of '1'"),
        ("id,text\n1," + "a " * 10_001 + "\n", "target '1': the text has 20002 characters"),
        ("id,text,text\n1,a,b\n", "2 columns"),
    ],
)
def test_bad_csv_is_refused(client: TestClient, content: str, message: str) -> None:
    status, code, told = refusal(client.put("/spaces/courses", content=content, headers={"Content-Type": "text/csv"}))
    assert (status, code) == (422, "invalid_data")
    assert message in told
    bad_facts = client.put(
        "/spaces/courses?kind=nonsense", content="id,text\n1,a\n", headers={"Content-Type": "text/csv"}
    )
    assert bad_facts.status_code == 422


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "nothing to"),
        ({"put": [{"id": "1", "text": ""}]}, "target '1': text"),
        ({"put": [{"id": "1", "text": "a"}], "remove": ["1"]}, "in 'put' and in 'remove'"),
        ({"put": [{"id": "1", "text": "a"}, {"id": "1", "text": "b"}]}, "the target '1' twice"),
        ({"remove": ["1", "2"]}, "at least one target"),
        ({"put": [{"id": "1", "text": "a", "metadata": {"hours": "six"}}]}, "target '2': metadata 'hours' is a number"),
    ],
)
def test_bad_changes_are_refused_and_change_nothing(client: TestClient, change: Any, message: str) -> None:
    before = ranked(client, "ours")
    status, code, told = refusal(client.patch("/spaces/ours", json=change))
    assert (status, code) == (422, "invalid_data")
    assert message in told
    assert ranked(client, "ours") == before


def test_jobs_that_are_not_there(client: TestClient) -> None:
    assert refusal(client.get("/jobs/nonsense"))[:2] == (404, "unknown_job")

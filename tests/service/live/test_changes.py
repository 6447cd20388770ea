"""Uploading, changing and removing spaces over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.service.live.conftest import Start, contents, finished, patch, put, ranked, ranker_of, refusal, upload
from uwe_core.tasks import RankingTask


def test_an_uploaded_space_is_ranked_at_once_and_told_of(client: TestClient) -> None:
    facts = {
        "kind": "skill",
        "language": "en-GB",
        "licence": "CC0-1.0",
        "attribution": "by us",
        "taxonomy_version": "2",
    }
    nurse = {"id": "a", "text": "nurse", "aliases": ["care for people"], "metadata": {"hours": 6, "tags": ["x", "y"]}}
    job = put(client, "courses", nurse, {"id": "b", "text": "weld metal"}, **facts)
    assert (job["state"], job["kind"], job["space"], job["done"], job["total"], job["encoded"]) == (
        "finished", "put", "courses", 3, 3, 3,
    )  # fmt: skip
    assert contents(client, "courses") == {
        "a": ("nurse", {"aliases": ["care for people"], "hours": 6, "tags": ["x", "y"]}),
        "b": ("weld metal", {}),
    }
    space = client.get("/spaces/courses").json()
    assert {name: space[name] for name in facts} == facts
    assert (space["targets"], space["editable"], space["warnings"]) == (2, True, [])
    assert space["index_fingerprint"] == job["fingerprint"]
    assert space in client.get("/spaces").json()["spaces"]
    body = client.post("/rank", json={"space": "courses", "query": "nurse"}).json()
    assert body["task"] == "zero-shot"
    assert body["index"] == {"space": "courses", "fingerprint": job["fingerprint"]}
    assert client.get("/jobs").json()["jobs"][0] == job
    metrics = client.get("/metrics").text
    assert 'uwe_space_jobs_total{kind="put",state="finished"} 1.0' in metrics
    assert "uwe_space_swaps_total 1.0" in metrics
    assert 'uwe_index_targets{space="courses"} 2.0' in metrics


def test_csv_is_the_same_space_as_json(client: TestClient) -> None:
    csv = 'id,text,aliases,hours,note\na,"nurse, care",bread|bake,6,\nb,welder,,,"two\nlines"\n'
    response = client.put(
        "/spaces/courses?kind=job&language=de&licence=CC0-1.0",
        content=csv,
        headers={"Content-Type": "text/csv; charset=utf-8"},
    )
    by_csv = finished(client, response)
    assert contents(client, "courses") == {
        "a": ("nurse, care", {"aliases": ["bread", "bake"], "hours": 6}),
        "b": ("welder", {"note": "two\nlines"}),
    }
    space = client.get("/spaces/courses").json()
    assert (space["kind"], space["language"], space["licence"]) == ("job", "de", "CC0-1.0")
    by_json = put(
        client,
        "courses",
        {"id": "a", "text": "nurse, care", "aliases": ["bread", "bake"], "metadata": {"hours": 6}},
        {"id": "b", "text": "welder", "metadata": {"note": "two\nlines"}},
    )
    assert by_json["fingerprint"] == by_csv["fingerprint"]
    assert by_json["encoded"] == 0


def test_a_change_adds_replaces_and_removes_and_encodes_only_new_texts(client: TestClient) -> None:
    put(client, "courses", "nurse", "weld metal", "bake bread", "welder")
    new = {"id": "5", "text": "baker", "metadata": {"x": 1}}
    change = {"put": [{"id": "2", "text": "care"}, new, {"id": "4", "text": "nurse"}], "remove": ["1", "absent"]}
    job = patch(client, "courses", **change)
    assert (job["done"], job["total"], job["encoded"]) == (4, 4, 2)
    assert contents(client, "courses") == {
        "2": ("care", {}),
        "3": ("bake bread", {}),
        "4": ("nurse", {}),
        "5": ("baker", {"x": 1}),
    }
    assert ranker_of(client).spaces["courses"].space.ids == ["2", "3", "4", "5"]
    assert patch(client, "courses", **change)["fingerprint"] == job["fingerprint"]  # safe to repeat


def test_metadata_alone_make_another_version_whose_answers_are_new(client: TestClient) -> None:
    first = put(client, "courses", {"id": "1", "text": "nurse", "metadata": {"hours": 6}})
    assert contents(client, "courses") == {"1": ("nurse", {"hours": 6})}  # and cached
    job = patch(client, "courses", put=[{"id": "1", "text": "nurse", "metadata": {"hours": 7}}])
    assert job["encoded"] == 0
    assert job["fingerprint"] != first["fingerprint"]
    assert contents(client, "courses") == {"1": ("nurse", {"hours": 7})}


def test_a_removed_space_is_gone_from_requests_metrics_and_disk(client: TestClient, home: Path) -> None:
    put(client, "courses", "nurse")
    assert (home / "indexes" / "courses").is_dir()
    finished(client, client.delete("/spaces/courses"))
    assert refusal(client.post("/rank", json={"space": "courses", "query": "nurse"}))[:2] == (404, "unknown_space")
    assert client.get("/spaces/courses").status_code == 404
    assert not (home / "spaces" / "courses").exists()
    assert not list((home / "indexes" / "courses").glob("*/*"))
    assert 'space="courses"' not in client.get("/metrics").text
    assert refusal(client.delete("/spaces/courses"))[:2] == (404, "unknown_space")
    assert refusal(client.patch("/spaces/courses", json={"remove": ["1"]}))[:2] == (404, "unknown_space")


def test_spaces_and_what_was_live_before_survive_a_restart(start: Start) -> None:
    client = start()
    first = put(client, "courses", {"id": "1", "text": "nurse", "metadata": {"hours": 6}}, licence="CC0-1.0")
    second = patch(client, "courses", put=[{"id": "2", "text": "baker"}])
    before = ranked(client, "courses"), client.get("/spaces/courses").json()
    client = start()
    assert (ranked(client, "courses"), client.get("/spaces/courses").json()) == before
    assert len(ranked(client, "courses", fingerprint=first["fingerprint"])) == 1
    assert len(ranked(client, "courses", fingerprint=second["fingerprint"])) == 2
    assert put(client, "courses", "baker", "nurse")["encoded"] == 0


def test_a_task_follows_its_space_and_keeps_it(start: Start) -> None:
    put(start(), "courses", "nurse", "weld metal")
    task = {"name": "job2course", "description": "", "queries": "jobs", "target_space": "courses", "example": "nurse"}
    client = start(tasks={"job2course": RankingTask.model_validate(task)})

    def texts() -> list[str]:
        answer = client.post("/rank/job2course", json={"query": "nurse"}).json()
        return [target["text"] for target in answer["results"][0]["targets"]]

    assert set(texts()) == {"nurse", "weld metal"}
    patch(client, "courses", put=[{"id": "2", "text": "baker"}])
    assert set(texts()) == {"nurse", "baker"}
    assert refusal(client.delete("/spaces/courses"))[:2] == (409, "space_in_use")


def test_limits(start: Start) -> None:
    client = start(max_targets=2, max_spaces=1, max_upload_bytes=300, max_body_bytes=100)
    put(client, "courses", "nurse", "baker")
    assert refusal(client.put("/spaces/courses", json=upload("a", "b", "c")))[:2] == (413, "too_large")
    assert refusal(client.patch("/spaces/courses", json={"put": [{"id": "9", "text": "c"}]}))[:2] == (413, "too_large")
    assert refusal(client.put("/spaces/others", json=upload("a")))[:2] == (409, "conflict")
    assert refusal(client.put("/spaces/courses", json=upload("a" * 300)))[:2] == (413, "too_large")
    assert refusal(client.post("/rank", json={"space": "courses", "query": "a" * 101}))[:2] == (413, "too_large")


def test_rankings_name_the_version_they_want(start: Start) -> None:
    client = start(previous_version_seconds=3600)
    old = put(client, "courses", "nurse")["fingerprint"]
    new = put(client, "courses", "nurse", "baker")["fingerprint"]
    model = client.get("/readyz").json()["model"]["fingerprint"]
    assert len(ranked(client, "courses", fingerprint=old)) == 1
    assert len(ranked(client, "courses", fingerprint=new, model_fingerprint=model)) == 2
    assert client.get("/spaces/courses").json()["previous_fingerprint"] == old
    for pins, live in (({"fingerprint": "c" * 64}, new), ({"model_fingerprint": "c" * 64}, model)):
        status, code, told = refusal(client.post("/rank", json={"space": "courses", "query": "nurse", **pins}))
        assert (status, code) == (409, "stale_fingerprint")
        assert live in told
    task = {"query": "nurse", "fingerprint": "c" * 64}
    assert refusal(client.post("/rank/job2skill", json=task))[:2] == (409, "stale_fingerprint")
    task["fingerprint"] = client.get("/spaces/fixed-skills").json()["index_fingerprint"]
    assert client.post("/rank/job2skill", json=task).status_code == 200
    put(client, "courses", "welder")  # only the last version is kept
    assert refusal(client.post("/rank", json={"space": "courses", "query": "a", "fingerprint": old}))[0] == 409


def test_a_version_is_forgotten_when_its_time_is_over(start: Start, home: Path) -> None:
    client = start(previous_version_seconds=0)
    old = put(client, "courses", "nurse")["fingerprint"]
    put(client, "courses", "baker")
    assert refusal(client.post("/rank", json={"space": "courses", "query": "a", "fingerprint": old}))[0] == 409
    assert client.get("/spaces/courses").json()["previous_fingerprint"] is None
    client.app.state.service.loaded.live.look_around()  # type: ignore[attr-defined]
    assert len([path for path in (home / "spaces" / "courses").iterdir() if path.is_dir()]) == 1
    assert len(list((home / "indexes" / "courses").iterdir())) == 1


def test_a_change_may_name_the_version_it_is_for(client: TestClient) -> None:
    first = put(client, "courses", "nurse")["fingerprint"]
    change = {"put": [{"id": "2", "text": "baker"}], "fingerprint": first}
    second = patch(client, "courses", **change)["fingerprint"]
    status, code, told = refusal(client.patch("/spaces/courses", json=change))
    assert (status, code) == (409, "stale_fingerprint")
    assert second in told


def test_changes_of_one_space_are_made_one_after_another(client: TestClient) -> None:
    responses = [client.put("/spaces/courses", json=upload("nurse"))]
    responses += [
        client.patch("/spaces/courses", json={"put": [{"id": f"p{number}", "text": "baker"}]}) for number in range(4)
    ]
    stale = {"remove": ["p0"], "fingerprint": "c" * 64}
    waiting = client.patch("/spaces/courses", json=stale)
    for response in responses:
        finished(client, response)
    assert sorted(contents(client, "courses")) == ["1", "p0", "p1", "p2", "p3"]
    if waiting.status_code == 202:  # refused by the job, since others waited
        assert finished(client, waiting, "failed")["error"]["code"] == "stale_fingerprint"
    else:
        assert waiting.status_code == 409


def test_a_space_in_another_language_than_the_model_reads_says_so(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("uwe_core.ranker.languages_of", lambda _: ("en",))
    client = start()
    put(client, "courses", "nurse", language="nl-BE")
    assert "the texts are in 'nl-BE' and the model reads en" in client.get("/spaces/courses").json()["warnings"][0]
    assert "the space 'courses': the texts are in 'nl-BE'" in caplog.text
    put(client, "courses", "nurse", language="EN-gb")
    assert client.get("/spaces/courses").json()["warnings"] == []

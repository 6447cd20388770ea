"""The real application with a tiny model, over spaces that are uploaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from service.app import create_app
from service.loading import load_ranker
from service.settings import Settings
from tests.fakes import save_tiny_model
from uwe_core.ranker import Ranker
from uwe_core.tasks import standard_tasks

Start = Callable[..., TestClient]
_PATIENCE_SECONDS = 60
FIXED = "id,text\n1,nurse\n2,weld metal\n3,bake bread\n"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model("bert", tmp_path_factory.mktemp("tiny") / "model"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "fixed.csv").write_text(FIXED)
    return tmp_path


def settings_of(home: Path, model: str, **news: Any) -> Settings:
    """Six tasks over two spaces that are none of the uploaded ones."""
    spaces = {f"fixed-{kind}": {"path": home / "fixed.csv"} for kind in ("skills", "jobs")}
    words = {"example": "nurse"}  # all that the tiny model knows
    tasks = {name: task.model_copy(update=words) for name, task in standard_tasks("fixed").items()}
    tasks |= news.pop("tasks", {})
    own = {
        "home": home,
        "model": model,
        "taxonomy": "fixed",
        "spaces": spaces,
        "tasks": tasks,
        "storage": "float32",
        "threads": 1,
    }
    return Settings.load(**{**own, "backend": "torch", "precision": "float32", "refresh_seconds": 0, **news})


@pytest.fixture
def start(home: Path, model: str) -> Iterator[Start]:
    """Starts servers, one after the other, as a restart does; `start.ranker` is the last one's."""
    threads = torch.get_num_threads()
    running: list[TestClient] = []

    def begin(**news: Any) -> TestClient:
        while running:
            running.pop().__exit__(None, None, None)
        settings = settings_of(home, model, **news)
        client = TestClient(create_app(settings, load_ranker(settings, lambda _: None)), "http://127.0.0.1")
        running.append(client.__enter__())
        return client

    yield begin
    while running:
        running.pop().__exit__(None, None, None)
    torch.set_num_threads(threads)


@pytest.fixture
def client(start: Start) -> TestClient:
    return start()


def ranker_of(client: TestClient) -> Ranker:
    """What ranks behind a client."""
    engine = client.app.state.service.loaded.engine  # type: ignore[attr-defined]
    assert isinstance(engine, Ranker)
    return engine


def upload(*targets: Any, **facts: Any) -> dict[str, Any]:
    """A space in JSON: targets are texts, whose ids are their numbers, or whole targets."""
    made = [
        target if isinstance(target, dict) else {"id": f"{number}", "text": target}
        for number, target in enumerate(targets, start=1)
    ]
    return {"targets": made, **facts}


def finished(client: TestClient, response: Any, state: str = "finished") -> dict[str, Any]:
    """The job that a change became, when it is over."""
    assert response.status_code == 202, response.text
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get(f"/jobs/{response.json()['id']}").json()
        if job["finished"] is not None:
            assert job["state"] == state, job
            return job
        time.sleep(0.005)
    raise AssertionError(job)


def put(client: TestClient, name: str, *targets: Any, **facts: Any) -> dict[str, Any]:
    """Upload a space and wait for it."""
    return finished(client, client.put(f"/spaces/{name}", json=upload(*targets, **facts)))


def patch(client: TestClient, name: str, **change: Any) -> dict[str, Any]:
    """Change a space and wait for it."""
    return finished(client, client.patch(f"/spaces/{name}", json=change))


def ranked(client: TestClient, space: str, query: str = "nurse", **more: Any) -> list[dict[str, Any]]:
    """All targets of a space, best first."""
    response = client.post("/rank", json={"space": space, "query": query, "top_k": 100, **more})
    assert response.status_code == 200, response.text
    targets: list[dict[str, Any]] = response.json()["results"][0]["targets"]
    return targets


def contents(client: TestClient, space: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Text and metadata of each target by id, as rankings return them."""
    return {target["id"]: (target["text"], target["metadata"]) for target in ranked(client, space)}


def refusal(response: Any) -> tuple[int, str, str]:
    """Status, code and message of a refused request."""
    error = response.json()["error"]
    return response.status_code, error["code"], error["message"]

"""The real server as a process, with real weights over a real socket."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import torch

from uwe_core.model import UweModel
from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.sample import sample_jobs, sample_rows, sample_skills
from uwe_core.tasks import standard_tasks
from uwe_core.token_index import open_or_build

_PATIENCE_SECONDS = 120
Found = TypeVar("Found")


class RunningServer:
    """A `uwe-serve` process; its log goes to a file, where its address is found."""

    def __init__(self, home: Path, log: Path, **variables: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("UWE_")}
        settings = {
            "UWE_HOME": str(home),
            "UWE_PORT": "0",
            "UWE_BACKEND": "torch",
            "UWE_PRECISION": "float32",
            "UWE_STORAGE": "float32",
            **variables,
        }
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("uwe-serve")], env=inherited | settings, stdout=file, stderr=file
            )

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """A client of the server, as soon as it listens."""
        address = self._wait(self._address)
        with httpx.Client(base_url=address, timeout=_PATIENCE_SECONDS, trust_env=False) as client:
            yield client

    @contextmanager
    def ready(self) -> Iterator[httpx.Client]:
        """A client of the server, as soon as it is ready."""
        with self.client() as client:
            self._wait(lambda: client.get("/readyz").status_code == 200 or None)
            yield client

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=_PATIENCE_SECONDS)

    def _address(self) -> str | None:
        found = re.search(r"running on (http://127\.0\.0\.1:\d+)", self.log.read_text())
        return found[1] if found else None

    def _wait(self, probe: Callable[[], Found | None]) -> Found:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = probe()
            if found is not None:
                return found
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())


@contextmanager
def running(home: Path, log: Path, **variables: str) -> Iterator[RunningServer]:
    server = RunningServer(home, log, **variables)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home, so that token indexes are built once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[httpx.Client]:
    with running(home, home / "server.log") as server, server.ready() as client:
        yield client


def ranked(client: httpx.Client, task: str, query: str, top_k: int = 5) -> list[str]:
    response = client.post(f"/rank/{task}", json={"query": query, "top_k": top_k})
    assert response.status_code == 200, response.text
    return [target["text"] for target in response.json()["results"][0]["targets"]]


def test_all_six_tasks_give_sensible_answers(client: httpx.Client) -> None:
    assert "dispense prescription medicines" in ranked(client, "job2skill", "pharmacy technician")
    assert any("driver" in text for text in ranked(client, "skill2job", "drive heavy goods vehicles"))
    assert ranked(client, "skillnorm", "take a patient's medical history", 1) == ["take patient medical histories"]
    assert any("medic" in text for text in ranked(client, "skillextract", "You check which medicines clash."))
    assert "measure vital signs" not in ranked(client, "skillsim", "measure vital signs", 480)
    assert ranked(client, "jobnorm", "Pharmacy Technician (m/f/d), nights", 1) == ["pharmacy technician"]


def test_the_service_ranks_exactly_as_the_ranker_does(
    client: httpx.Client, home: Path, embedded_model: UweModel
) -> None:
    spaces = {}
    for space in (sample_skills(), sample_jobs()):
        index = open_or_build(home / "indexes", embedded_model.encoder, space)
        spaces[space.info.name] = RankableSpace(embedded_model, space, index)
    ranker = Ranker(embedded_model, spaces, standard_tasks("sample"))
    queries = [row["title"] for row in sample_rows("vacancy_titles")[:20]]
    results = client.post("/rank/jobnorm", json={"queries": queries, "top_k": 160}).json()["results"]
    for result, ranking in zip(results, ranker.rank("jobnorm", queries, 160).rankings, strict=True):
        expected = {target.id: target.score for target in ranking}
        assert {target["id"]: target["score"] for target in result["targets"]} == pytest.approx(expected, abs=1e-4)


def test_embeddings_are_the_encoders_and_reranking_is_ranking(client: httpx.Client, embedded_model: UweModel) -> None:
    texts = ["pharmacy technician", "registered nurse", "weld " * 600]
    encoder = embedded_model.encoder
    tokens = encoder.encode(encoder.tokenise(texts))
    answer = client.post("/embed", json={"texts": texts, "normalise": True}).json()
    means = tokens.means()
    expected = means / means.norm(dim=1, keepdim=True)
    found = torch.tensor([result["embedding"] for result in answer["results"]])
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    assert [result["truncated"] is None for result in answer["results"]] == [True, True, False]
    skills = [row["label"] for row in sample_rows("skills")[:60]]
    ranking = client.post("/rank", json={"query": texts[0], "targets": skills, "top_k": 60}).json()["results"][0]
    reranked = client.post("/rerank", json={"query": texts[0], "texts": skills, "raw_scores": True}).json()
    assert {str(one["index"]): one["score"] for one in reranked} == pytest.approx(
        {target["id"]: target["score"] for target in ranking["targets"]}, abs=1e-4
    )
    whole = client.post("/rank/job2skill", json={"query": texts[0], "top_k": 480}).json()["results"][0]
    scores = {target["text"]: target["score"] for target in whole["targets"]}
    assert {target["text"]: target["score"] for target in ranking["targets"]} == pytest.approx(
        {skill: scores[skill] for skill in skills}, abs=1e-3
    )


def test_the_examples_of_the_docs_are_answered(client: httpx.Client) -> None:
    page = (Path(__file__).parent.parent.parent / "docs/rerank-and-embed.md").read_text()
    examples = re.findall(r"curl -s 127\.0\.0\.1:8000(/\S+) .*?-d '(.*?)'\n", page, re.DOTALL)
    assert {path for path, _ in examples} == {"/rank", "/rerank", "/v2/rerank", "/embed"}
    for path, body in examples:
        response = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 200, response.text


@pytest.mark.parametrize("task", ["job2skill", "jobnorm"])
def test_explanations_sum_to_the_scores_and_cut_the_tokens_out_of_their_texts(client: httpx.Client, task: str) -> None:
    queries = ["Pharmacy Technician (m/f/d), nights", "registered nurse", "weld " * 600]
    results = client.post(f"/rank/{task}", json={"queries": queries, "top_k": 5, "explain": True}).json()["results"]
    for result in results:
        check_spans(result["query"], result["query_tokens"])
        for target in result["targets"]:
            why = target["explanation"]
            check_spans(target["text"], why["tokens"])
            assert len(why["rest"]) == len(result["query_tokens"])
            total = sum(pair["contribution"] for pair in why["pairs"]) + sum(why["rest"])
            assert total == pytest.approx(target["score"], rel=1e-5, abs=1e-4)
    assert len(results[2]["query_tokens"]) == 512
    best = results[0]["targets"][0]
    why = [pair for pair in best["explanation"]["pairs"] if pair["contribution"] > 0.1]
    met = [
        (results[0]["query_tokens"][pair["query_token"]]["token"], best["explanation"]["tokens"][pair["target_token"]])
        for pair in why
    ]
    if task == "jobnorm":
        assert ("pharmacy", {"token": "pharmacy", "start": 0, "end": 8}) in met


def check_spans(text: str, tokens: list[dict[str, Any]]) -> None:
    first, *inner, last = tokens
    assert [first, last] == [{"token": name, "start": None, "end": None} for name in ("[CLS]", "[SEP]")]
    for token in inner:
        assert text[token["start"] : token["end"]].lower() == token["token"].removeprefix("##")


def test_many_callers_at_once_get_their_own_answers(client: httpx.Client) -> None:
    jobs = [row["title"] for row in sample_rows("jobs")[:32]]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda job: ranked(client, "jobnorm", job, 1), jobs))
    assert answers == [[job] for job in jobs]


def test_a_query_beyond_the_encoders_limit_is_cut_and_says_so(client: httpx.Client) -> None:
    result = client.post("/rank/skillextract", json={"query": "weld " * 700}).json()["results"][0]
    assert result["truncated"]["kept_tokens"] == 512


def test_spaces_and_tasks_of_ones_own_work_without_code(home: Path, tmp_path: Path) -> None:
    (tmp_path / "courses.csv").write_text("id,text,hours\n1,welding for beginners,12\n2,first aid for nurses,6\n")
    (tmp_path / "settings.toml").write_text(
        f"""
        [spaces.courses]
        path = "{tmp_path / "courses.csv"}"
        attribution = "by us"
        [tasks.job2course]
        description = "Courses for a job."
        queries = "job titles"
        target_space = "courses"
        """
    )
    settings = str(tmp_path / "settings.toml")
    with running(home, tmp_path / "log", UWE_SETTINGS=settings) as server, server.ready() as client:
        response = client.post("/rank/job2course", json={"query": "nurse"}).json()
        assert [target["id"] for target in response["results"][0]["targets"]] == ["2", "1"]
        assert response["results"][0]["targets"][0]["metadata"] == {"hours": 6}
        assert ranked(client, "jobnorm", "welder", 1) == ["welder"]


def test_sigterm_answers_what_was_accepted_and_ends_within_three_seconds(home: Path, tmp_path: Path) -> None:
    with running(home, tmp_path / "log") as server, server.ready() as client:
        answers: list[httpx.Response] = []
        # 64 queries of some hundred tokens are a second of work: accepted before the signal, computed after it
        body = {"queries": [f"{number} " + "weld and bake " * 5 for number in range(64)]}
        caller = threading.Thread(target=lambda: answers.append(client.post("/rank/skillextract", json=body)))
        caller.start()
        with httpx.Client(base_url=client.base_url, trust_env=False) as watcher:
            while "uwe_waiting_requests 1.0" not in watcher.get("/metrics").text and not answers:
                pass
        start = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - start < 3
        caller.join()
        assert answers[0].status_code in (200, 503)
        if answers[0].status_code == 503:  # a machine too slow to finish in the time to drain still answers
            assert answers[0].json()["error"]["code"] == "shutting_down"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"UWE_DEVICE": "cuda:99"}, "device 'cuda:99' was asked for"),
        ({"UWE_TAXONOMY": "nonsense"}, "no target space 'nonsense-jobs'"),
        ({"UWE_MODEL": "nonsense"}, "no model 'nonsense'"),
        ({"UWE_MAX_TOP_K": "many"}, "settings: max_top_k"),
        ({"UWE_PRECOMPUTE": "false"}, "run `uwe precompute sample-jobs`"),
    ],
)
def test_a_start_that_cannot_succeed_ends_with_one_clear_line(
    variables: dict[str, str], message: str, tmp_path: Path
) -> None:
    with running(tmp_path / "empty", tmp_path / "log", **variables) as server:
        assert server.process.wait(timeout=_PATIENCE_SECONDS) == 1
        last_line = server.log.read_text().strip().splitlines()[-1]
        assert last_line.startswith("error: ")
        assert message in last_line
        assert "Traceback" not in server.log.read_text()


def test_a_server_killed_while_it_builds_an_index_starts_again(tmp_path: Path) -> None:
    with running(tmp_path / "home", tmp_path / "log") as server, server.client() as client:
        while "encoding" not in client.get("/readyz").text and server.process.poll() is None:
            pass
        server.process.kill()
        server.process.wait()
    with running(tmp_path / "home", tmp_path / "log") as server, server.ready() as client:
        assert ranked(client, "jobnorm", "welder", 1) == ["welder"]


def test_sigterm_while_loading_ends_within_three_seconds_too(tmp_path: Path) -> None:
    with running(tmp_path / "home", tmp_path / "log") as server, server.client() as client:
        while "encoding" not in client.get("/readyz").text:
            assert server.process.poll() is None, server.log.read_text()
        start = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - start < 3
    assert not list((tmp_path / "home").rglob("*.part"))  # half an index is not left behind

"""A real Prometheus scrapes the real service, and answers every query of the dashboard and every alert."""

from __future__ import annotations

import math
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.docker.deployment import (
    PROMETHEUS,
    alert_rules,
    dashboard,
    dashboard_queries,
    read_yaml,
)
from tests.programs import program
from tests.service.test_end_to_end import running
from uwe_core.tasks import standard_tasks

pytestmark = pytest.mark.heavy

_PATIENCE_SECONDS = 60


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def configure(folder: Path, target: str) -> Path:
    """Our configuration and rules, scraping another address, and more often."""
    configuration = read_yaml(PROMETHEUS / "prometheus.yml")
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    shutil.copy(PROMETHEUS / "alerts.yml", folder)
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    return file


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[httpx.Client]:
    """A Prometheus of its own, ready to be asked."""
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={configure(folder, target)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while not is_ready(client):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait(timeout=20)


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def send_traffic(service: httpx.Client, stop: threading.Event, statuses: set[int]) -> None:
    """Every task and route, and everything that callers do wrong, until it is stopped; the statuses that came back."""
    rounds = 0
    while not stop.wait(0.2):
        rounds += 1
        for task in standard_tasks("sample"):
            queries = ["welder", f"nurse on ward {rounds}"]  # one that is asked again and again, one that is new
            for body in ({"queries": queries}, {"query": " "}, {"queries": ["a"] * 65}):
                statuses.add(service.post(f"/rank/{task}", json=body).status_code)
        for path, body in (
            ("/rank", {"query": "welder", "targets": ["weld metal", "bake bread"]}),
            ("/rank/job2skill/batch", {"items": [{"query": f"welder {rounds}"}]}),
            ("/rank/nonsense", {"query": "a"}),
            ("/extract", {"text": f"We look for a nurse. She works on ward {rounds}."}),
            ("/rerank", {"query": "welder", "texts": ["weld metal"]}),
            ("/embed", {"text": "welder"}),
        ):
            statuses.add(service.post(path, json=body).status_code)
        target = {"id": "a", "text": f"weld metal {rounds}"}
        statuses.add(service.put("/spaces/crafts", json={"targets": [target]}).status_code)


def ask(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    answer = client.post("/api/v1/query", data={"query": query}).json()
    assert answer["status"] == "success", f"{query}: {answer.get('error')}"
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


def filled_in(query: str) -> str:
    """A query as Grafana sends it."""
    for variable in dashboard()["templating"]["list"]:
        query = query.replace(f"${variable['name']}", variable["allValue"])
    return query.replace("$__rate_interval", "1m")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Prometheus beside a service that is asked all the time: a rate is of traffic within the last minute."""
    folder = tmp_path_factory.mktemp("watched")
    program("prometheus")
    stop, statuses = threading.Event(), set[int]()
    with running(folder / "home", folder / "service.log") as server, server.ready() as service:
        target = f"{service.base_url.host}:{service.base_url.port}"
        traffic = threading.Thread(target=send_traffic, args=(service, stop, statuses))
        with prometheus(folder, target) as client:
            traffic.start()
            try:
                assert until_true(lambda: ask(client, 'count_over_time(up{job="uwe"}[5m]) >= 5'))
                yield client
            finally:
                stop.set()
                traffic.join(timeout=_PATIENCE_SECONDS)
    assert statuses == {200, 202, 404, 413, 422}


def until_true(found: Callable[[], object]) -> bool:
    """Whether something comes true in time: series appear at a scrape, rates need several, and machines are busy."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found():
            return True
        time.sleep(0.5)
    return False


@pytest.mark.parametrize("name", dashboard_queries())
def test_every_query_of_the_dashboard_returns_numbers(name: str, watched: httpx.Client) -> None:
    query = filled_in(dashboard_queries()[name])
    assert "$" not in query
    if "uwe_encoder_trial_seconds" in query:
        pytest.skip("a service whose settings leave no choice of an encoder tries none")
    assert until_true(lambda: any(math.isfinite(float(series["value"][1])) for series in ask(watched, query))), query


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_is_evaluated_without_an_error(rule: dict[str, Any], watched: httpx.Client) -> None:
    ask(watched, rule["expr"])
    groups = watched.get("/api/v1/rules").json()["data"]["groups"]
    (loaded,) = [one for group in groups for one in group["rules"] if one["name"] == rule["alert"]]
    assert loaded["health"] == "ok", loaded.get("lastError")


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: str(rule["alert"]))
def test_what_alerts_compare_is_there(rule: dict[str, Any], watched: httpx.Client) -> None:
    """An alert of a misspelt series would be silent for ever: both sides of its comparison must have values."""
    compared = re.split(r" (?:==|!=|>) |\bor\b", rule["expr"])[0]
    assert until_true(lambda: ask(watched, compared)), compared


def test_this_traffic_earns_one_alert_and_no_critical_one(watched: httpx.Client) -> None:
    def alerts_now() -> dict[str, Any]:
        found = watched.get("/api/v1/alerts").json()["data"]["alerts"]
        return {alert["labels"]["alertname"]: alert for alert in found}

    assert until_true(lambda: "UweBadRequests" in alerts_now())
    alerts = alerts_now()
    assert alerts.pop("UweBadRequests")["state"] == "pending"
    assert alerts.keys() <= {"UweSlow"}  # as the machine is


@pytest.mark.parametrize("variable", dashboard()["templating"]["list"], ids=lambda variable: str(variable["name"]))
def test_the_dashboards_variables_have_values(variable: dict[str, Any], watched: httpx.Client) -> None:
    series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
    values = watched.get(f"/api/v1/label/{label}/values", params={"match[]": series}).json()["data"]
    assert values


def test_prometheus_notices_that_the_service_is_gone(tmp_path: Path) -> None:
    with prometheus(tmp_path, f"127.0.0.1:{free_port()}") as client:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not client.get("/api/v1/alerts").json()["data"]["alerts"]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        (alert,) = client.get("/api/v1/alerts").json()["data"]["alerts"]
        assert alert["labels"]["alertname"] == "UweUnreachable"

"""The files below docker/, read, and the programs that check them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "docker/prometheus"
GRAFANA = ROOT / "docker/grafana"
KUBERNETES = ROOT / "docker/kubernetes"
IMAGES = ("service", "training")


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def compose() -> dict[str, Any]:
    read: dict[str, Any] = read_yaml(ROOT / "docker-compose.yml")
    return read


def alert_rules() -> list[dict[str, Any]]:
    return [rule for group in read_yaml(PROMETHEUS / "alerts.yml")["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((GRAFANA / "dashboards/uwe.json").read_text())
    return read


def dashboard_queries() -> dict[str, str]:
    """Every query of the dashboard, by panel and letter."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    }


def metric_names(query: str) -> set[str]:
    return set(re.findall(r"\buwe_\w+", query))


def run_check(*command: str | Path) -> None:
    """Run a program that finds fault with files; what it says is the failure."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

"""The paper's own figures, to stand beside ours."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

# Figure and standard error of `paper_cost`.
PAPER_COST_FIGURES = (("latency_ms", "latency_se"), ("gflops", "gflops_se"))


@cache
def _figures() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(resources.files(__package__).joinpath("paper.json").read_text())
    return content


def paper_models() -> list[str]:
    """The models of the paper's table 2."""
    return list(_figures()["results"])


def paper_value(model: str, dataset: str, metric: str) -> float | None:
    """A test figure in percent, or None where the paper has none."""
    value: float | None = _figures()["results"][model].get(dataset, {}).get(metric)
    return value


def paper_models_with_cost() -> list[str]:
    """The models of the paper's table 3."""
    return list(_figures()["cost"])


def paper_cost(model: str) -> dict[str, Any]:
    """Parameters, latency in milliseconds and GFLOPs per query (table 3, one A100)."""
    cost: dict[str, Any] = _figures()["cost"][model]
    return cost

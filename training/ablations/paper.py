"""The paper's own figures, to stand beside ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal


def paper_map(table: Literal["loss", "interaction"], variant: str) -> str:
    """Table 4 or 5: the mean of five runs with its 95 % interval, and the interaction temperature where it has one."""
    figures = _figures()[table][variant]
    temperature = figures.get("interaction_temperature")
    at = "" if temperature is None else f" at {temperature}"
    return f"{figures['map']:.2f} ± {figures['half_width']:.2f}{at}"


def paper_gains(graph: str) -> Mapping[str, str]:
    """Figure 3: the gains over the base that the text tells, by data set; of some only the sign."""
    gains: dict[str, str] = _figures()["transfer"].get(graph, {})
    return gains


@cache
def _figures() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(resources.files(__package__).joinpath("paper.json").read_text())
    return content

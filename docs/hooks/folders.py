"""A folder in the navigation stands for all of its pages, in the order of their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """What mkdocs calls once."""
    config["nav"] = spread(config["nav"], Path(config["docs_dir"]))
    return config


def spread(place: Any, docs: Path) -> Any:
    """The navigation with pages in the place of folders."""
    if isinstance(place, dict):
        return {title: spread(inner, docs) for title, inner in place.items()}
    if isinstance(place, list):
        return [spread(inner, docs) for inner in place]
    if place.endswith("/"):
        return sorted(str(page.relative_to(docs)) for page in (docs / place).glob("*.md"))
    return place

"""Real servers over the tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.service.live.conftest import FIXED
from tests.service.test_end_to_end import RunningServer, running
from uwe_core.tasks import standard_tasks


@contextmanager
def running_tiny(folder: Path, model: str, **variables: str) -> Iterator[RunningServer]:
    """A server whose home is the folder; it is killed at the end."""
    (folder / "fixed.csv").write_text(FIXED)
    lines = [f'[spaces.fixed-{kind}]\npath = "{folder / "fixed.csv"}"' for kind in ("skills", "jobs")]
    for name, task in standard_tasks("fixed").items():
        facts = task.model_copy(update={"example": "nurse"}).model_dump(exclude={"name"})
        values = {
            key: f"{value}".lower() if isinstance(value, bool | int) else f'"{value}"' for key, value in facts.items()
        }
        lines += [f"[tasks.{name}]", *(f"{key} = {value}" for key, value in values.items())]
    (folder / "settings.toml").write_text("\n".join(lines))
    settings = {"UWE_SETTINGS": str(folder / "settings.toml"), "UWE_MODEL": model, "UWE_TAXONOMY": "fixed"}
    with running(folder, folder / "log", **settings, UWE_THREADS="1", **variables) as server:
        yield server

"""The documentation site: every page has its place, links out of it become text, and no page calls another host."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def hook(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, ROOT / f"docs/hooks/{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def pages(place: Any) -> list[str]:
    if isinstance(place, str):
        return [place]
    inner = place.values() if isinstance(place, dict) else place
    return [page for each in inner for page in pages(each)]


def test_every_page_has_its_place_in_the_navigation() -> None:
    written = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert sorted(pages(hook("folders").spread(SITE["nav"], ROOT / "docs"))) == sorted(written)


@pytest.mark.parametrize(
    ("page", "written", "shown"),
    [
        ("a.md", "see [the file](../docker/x)", "see the file"),
        ("a.md", "[b](b.md#c) and ![d](../e.png)", "[b](b.md#c) and ![d](../e.png)"),
        ("adr/a.md", "[b](../b.md), [c](../../c)", "[b](../b.md), c"),
        ("a.md", "[b](https://example.org/../b)", "[b](https://example.org/../b)"),
    ],
)
def test_links_out_of_the_docs_become_text(page: str, written: str, shown: str) -> None:
    place = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert hook("links").on_page_markdown(written, page=place) == shown


def test_the_page_of_commands_has_every_command_and_option() -> None:
    page = hook("commands").on_page_markdown("# Commands\n\n<!-- commands -->\n")
    for command in ("uwe train", "uwe job", "uwe data build", "uwe benchmark training", "uwe-serve"):
        assert f"## `{command}`" in page
    job = page.split("## `uwe job`")[1].split("## ")[0]
    assert "| `--out` | required |" in job
    assert "| `--data` | `sample` |" in job
    assert str(Path.home()) not in page


@pytest.mark.heavy
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_outside(tmp_path: Path) -> None:
    mkdocs = Path(sys.executable).with_name("mkdocs")
    command: list[str | Path] = [mkdocs, "build", "--strict", "--quiet", "--site-dir", tmp_path]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    for page in tmp_path.rglob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=\"?(https?:[^\">]+)", text)
        loaded += re.findall(r"<link[^>]*rel=\"?(?:stylesheet|preconnect)[^>]*href=\"?(https?:[^\">]+)", text)
        assert not loaded, f"{page.name} loads {loaded}"

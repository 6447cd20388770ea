"""Docs are tested against code: every setting, route, metric, error and task stands in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.app import create_app
from service.errors import STATUSES
from service.observability import Metrics
from service.settings import Settings
from uwe_core.builtin_models import BUILTIN_MODELS
from uwe_core.tasks import standard_tasks

ROOT = Path(__file__).parent.parent
SERVICE_PAGE = (ROOT / "docs/service.md").read_text()


def test_every_setting_is_documented_with_its_default() -> None:
    for name, field in Settings.model_fields.items():
        row = re.search(rf"^\| `{name}` \| (.*?) \| (.*) \|$", SERVICE_PAGE, re.MULTILINE)
        assert row is not None, f"docs/service.md does not name the setting {name}"
        assert row[2] == field.description
        if field.default_factory is None and field.default is not None:
            default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
            assert row[1] == f"`{default}`"


def test_every_route_is_documented() -> None:
    for path, methods in create_app(Settings()).openapi()["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in SERVICE_PAGE


def test_every_metric_is_documented() -> None:
    for metric in Metrics(tasks=["job2skill"]).registry.collect():
        assert f"`{metric.name}`" in SERVICE_PAGE


@pytest.mark.parametrize(("status", "code"), sorted(set(STATUSES.values())))
def test_every_error_is_documented(status: int, code: str) -> None:
    assert re.search(rf"^\| {status} \|.*`{code}`", SERVICE_PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", standard_tasks("sample"))
def test_every_task_is_documented(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs/ranking.md").read_text()


@pytest.mark.parametrize("name", BUILTIN_MODELS)
def test_every_built_in_model_is_in_the_readme(name: str) -> None:
    assert f"| `{name}`" in (ROOT / "README.md").read_text()


def test_links_inside_the_repository_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_the_version_has_a_section_in_the_changelog() -> None:
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text()

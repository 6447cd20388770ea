"""The images, as far as files tell: no engine is needed here, and none is asked."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from service.settings import Settings
from tests.docker.deployment import IMAGES, ROOT, run_check


def dockerfile(image: str) -> str:
    return (ROOT / f"docker/{image}.Dockerfile").read_text()


def instructions(image: str) -> list[tuple[str, str]]:
    """Instruction and arguments, continued lines joined."""
    lines = re.sub(r"^#.*\n", "", dockerfile(image), flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def final_stage(image: str) -> dict[str, str]:
    found = instructions(image)
    last = max(position for position, (name, _) in enumerate(found) if name == "FROM")
    return dict(found[last:])


@pytest.mark.parametrize("image", IMAGES)
def test_the_linter_finds_nothing(image: str) -> None:
    run_check(Path(sys.executable).with_name("hadolint"), ROOT / f"docker/{image}.Dockerfile")


@pytest.mark.parametrize("image", IMAGES)
def test_the_last_stage_is_not_root_and_ends_by_sigterm(image: str) -> None:
    stage = final_stage(image)
    assert stage["USER"] == "10001:10001"
    assert (stage["STOPSIGNAL"], stage["VOLUME"]) == ("SIGTERM", "/data")
    assert "pip" not in stage["RUN"]
    assert stage["COPY"] == "--from=build /opt/uwe /opt/uwe"


def test_the_service_says_when_it_is_well() -> None:
    assert "127.0.0.1:8000/readyz" in final_stage("service")["HEALTHCHECK"]
    assert final_stage("service")["EXPOSE"] == "8000"


def test_the_service_may_start_at_the_address_that_its_image_sets() -> None:
    variables = dict(one.partition("=")[::2] for one in final_stage("service")["ENV"].split())
    named = {name.removeprefix("UWE_").lower(): value for name, value in variables.items() if name[:4] == "UWE_"}
    assert named["host"] == "0.0.0.0"
    Settings.model_validate(named).refuse_exposure()


@pytest.mark.parametrize("image", IMAGES)
def test_the_base_is_pinned_and_no_host_of_packages_is_written_in(image: str) -> None:
    arguments = dict(argument.partition("=")[::2] for name, argument in instructions(image) if name == "ARG")
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", arguments["PYTHON_IMAGE"])
    assert arguments["TORCH_INDEX_URL"] == arguments["PIP_INDEX_URL"] == ""
    hosts = re.findall(r"https?://([^/:\s'\"]+)", dockerfile(image))
    assert set(hosts) <= {"127.0.0.1"}


@pytest.mark.parametrize("image", IMAGES)
def test_what_an_image_installs_and_starts_is_in_the_project(image: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    arguments = dict(argument.partition("=")[::2] for name, argument in instructions(image) if name == "ARG")
    assert set(arguments["EXTRAS"].split(",")) <= set(project["optional-dependencies"])
    stage = final_stage(image)
    assert re.findall(r'"([^"]+)"', stage.get("ENTRYPOINT", stage["CMD"]))[0] in project["scripts"]


@pytest.mark.parametrize("image", IMAGES)
def test_what_an_image_copies_is_sent_to_the_builder(image: str) -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name, argument in instructions(image):
        if name == "COPY" and not argument.startswith("--from"):
            assert set(argument.split()[:-1]) <= sent


def test_both_images_make_the_environment_the_same_way() -> None:
    def steps(image: str) -> list[str]:
        return [argument for name, argument in instructions(image) if name in {"RUN", "COPY", "USER"}]

    assert steps("service") == steps("training")

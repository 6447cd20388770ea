"""The stack of docker-compose.yml."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from service.settings import Settings
from tests.docker.deployment import ROOT, compose, read_yaml, run_check
from training.recipes import RECIPES

SERVICES = compose()["services"]


def test_the_file_is_what_the_specification_says() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    run_check(checker, "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml")


def test_every_port_is_this_machines_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_nothing_runs_with_more_rights_than_it_needs() -> None:
    for name, service in SERVICES.items():
        if "extends" not in service:
            assert service["cap_drop"] == ["ALL"], name
            assert service["read_only"] is True, name


def test_every_mounted_and_built_file_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in compose()["volumes"]
        if "dockerfile" in service.get("build", {}):
            assert (ROOT / service["build"]["dockerfile"]).exists()


def test_every_variable_of_ours_is_a_setting() -> None:
    named = {name for service in SERVICES.values() for name in service.get("environment", ()) if name[:4] == "UWE_"}
    assert {"UWE_MODEL", "UWE_TAXONOMY", "UWE_DEVICE"} <= named
    assert {name.removeprefix("UWE_").lower() for name in named} <= set(Settings.model_fields)


def test_training_writes_to_the_volume_that_the_service_reads() -> None:
    assert SERVICES["training"]["volumes"] == SERVICES["service"]["volumes"] == ["data:/data"]
    command = SERVICES["training"]["command"]
    assert (command[0], command[-1]) == ("job", "/data/job")
    assert re.fullmatch(r"\$\{UWE_RECIPE:-(\w+)\}", command[2])[1] in RECIPES


def test_the_gpu_profile_reserves_a_device_for_both() -> None:
    for name in ("service-gpu", "training-gpu"):
        assert SERVICES[name]["profiles"] == ["gpu"]
        (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]
        assert SERVICES[name]["extends"] == {"service": name.removesuffix("-gpu")}


def test_prometheus_scrapes_whichever_service_runs() -> None:
    (scrape,) = read_yaml(ROOT / "docker/prometheus/prometheus.yml")["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": ["service:8000"]}]
    assert "service" in SERVICES["service-gpu"]["networks"]["default"]["aliases"]

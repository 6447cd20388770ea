"""The manifests: against the schemas of Kubernetes, and against each other."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.app import create_app
from service.settings import Settings
from tests.docker.deployment import KUBERNETES, compose

# The oldest release that is tried, for `autoscaling/v2` and `policy/v1`, and the newest whose schemas are installed.
VERSIONS = ("1.29", kubernetes_validate.latest_version())


def manifests(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERNETES / file).read_text()))


def manifest(kind: str) -> dict[str, Any]:
    (found,) = [one for one in manifests("service.yaml") if one["kind"] == kind]
    return found


def name_of(kind: str) -> str:
    name: str = manifest(kind)["metadata"]["name"]
    return name


POD = manifest("Deployment")["spec"]["template"]
CONTAINER = POD["spec"]["containers"][0]
JOB_POD = manifests("training.yaml")[0]["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", ["service.yaml", "training.yaml"])
def test_manifests_fit_the_schemas_of_kubernetes(file: str, version: str) -> None:
    for one in manifests(file):
        kubernetes_validate.validate(one, version, strict=True)


def test_every_selector_finds_the_pods() -> None:
    labels = POD["metadata"]["labels"].items()
    assert manifest("Service")["spec"]["selector"].items() <= labels
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert manifest(kind)["spec"]["selector"]["matchLabels"].items() <= labels
    assert manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert (
        manifest("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"]
        == manifest("Deployment")["metadata"]["name"]
    )
    (monitor,) = manifests("monitoring.yaml")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= manifest("Service")["metadata"]["labels"].items()


def test_every_port_is_the_one_the_container_names() -> None:
    (port,) = CONTAINER["ports"]
    assert port["containerPort"] == Settings.model_fields["port"].default
    assert manifest("Service")["spec"]["ports"][0]["targetPort"] == port["name"]
    assert manifest("NetworkPolicy")["spec"]["ingress"][0]["ports"] == [{"port": port["name"]}]
    (monitor,) = manifests("monitoring.yaml")
    assert monitor["spec"]["endpoints"][0]["port"] == manifest("Service")["spec"]["ports"][0]["name"]


def test_probes_ask_for_routes_that_are_there() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert CONTAINER[probe]["httpGet"]["path"] in paths
    # A process that loads for long is alive: only a probe of readiness may wait for it.
    assert CONTAINER["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_a_pod_has_the_time_to_end() -> None:
    pause = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause + Settings.model_fields["drain_seconds"].default + 3 < POD["spec"]["terminationGracePeriodSeconds"]


def test_configuration_names_settings_alone() -> None:
    assert {name.removeprefix("UWE_").lower() for name in manifest("ConfigMap")["data"]} <= set(Settings.model_fields)
    # The Service's name would otherwise make a variable UWE_PORT that is no number.
    assert POD["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("pod", [POD["spec"], JOB_POD], ids=["service", "training"])
def test_pods_are_confined(pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} == set(container["resources"])


def test_service_and_training_share_account_and_volume_and_use_the_images_of_compose() -> None:
    assert (
        POD["spec"]["serviceAccountName"]
        == JOB_POD["serviceAccountName"]
        == manifest("ServiceAccount")["metadata"]["name"]
    )
    claim = {"claimName": manifest("PersistentVolumeClaim")["metadata"]["name"]}
    assert POD["spec"]["volumes"][0]["persistentVolumeClaim"] == JOB_POD["volumes"][0]["persistentVolumeClaim"] == claim
    images = {service.get("image") for service in compose()["services"].values()}
    assert {CONTAINER["image"], JOB_POD["containers"][0]["image"]} <= images

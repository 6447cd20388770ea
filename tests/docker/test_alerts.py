"""Alerts and dashboard against the service's metrics, as far as files tell; test_monitoring.py asks Prometheus."""

from __future__ import annotations

import re

import pytest

from service.observability import Metrics
from tests.docker.deployment import (
    GRAFANA,
    PROMETHEUS,
    ROOT,
    alert_rules,
    compose,
    dashboard,
    dashboard_queries,
    metric_names,
    read_yaml,
    run_check,
)
from tests.programs import program

RUNBOOK = (ROOT / "docs/operations.md").read_text()


def test_prometheus_accepts_configuration_and_rules() -> None:
    run_check(program("promtool"), "check", "config", "--lint-fatal", PROMETHEUS / "prometheus.yml")


def test_alerts_fire_when_they_should_and_only_then() -> None:
    run_check(program("promtool"), "test", "rules", PROMETHEUS / "alerts_test.yml")


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_is_tested_in_both_ways_and_has_a_runbook(rule: dict[str, object]) -> None:
    checks = [check for test in read_yaml(PROMETHEUS / "alerts_test.yml")["tests"] for check in test["alert_rule_test"]]
    expected = [check["exp_alerts"] for check in checks if check["alertname"] == rule["alert"]]
    assert [] in expected
    assert any(expected)
    page, _, anchor = rule["annotations"]["runbook"].partition("#")  # type: ignore[index]
    assert page == "docs/operations.md"
    assert re.search(rf"^### {rule['alert']}$", RUNBOOK, re.MULTILINE)
    assert anchor == str(rule["alert"]).lower()


def test_the_runbook_knows_no_other_alerts() -> None:
    assert set(re.findall(r"^### (Uwe\w+)$", RUNBOOK, re.MULTILINE)) == {rule["alert"] for rule in alert_rules()}


def series_of_the_service() -> set[str]:
    return {sample.name for family in Metrics(["job2skill"]).registry.collect() for sample in family.samples} | {
        # Series of these appear with the model.
        *("uwe_build_info", "uwe_encoder_info", "uwe_encoder_trial_seconds"),
        *("uwe_index_targets", "uwe_index_tokens", "uwe_index_bytes"),
    }


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    asked = [rule["expr"] for rule in alert_rules()] + list(dashboard_queries().values())
    assert set().union(*map(metric_names, asked)) <= series_of_the_service()


def test_every_metric_is_on_the_dashboard() -> None:
    shown = set().union(*map(metric_names, dashboard_queries().values()))
    for family in Metrics(["job2skill"]).registry.collect():
        assert any(name.startswith(family.name) for name in shown), f"no panel shows {family.name}"


def test_the_dashboard_asks_the_data_source_that_is_provisioned() -> None:
    (source,) = read_yaml(GRAFANA / "provisioning/datasources/prometheus.yml")["datasources"]
    used = {panel["datasource"]["uid"] for panel in dashboard()["panels"] if "datasource" in panel}
    assert used == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == read_yaml(PROMETHEUS / "prometheus.yml")["global"]["scrape_interval"]


def test_grafana_finds_the_dashboard() -> None:
    (provider,) = read_yaml(GRAFANA / "provisioning/dashboards/dashboards.yml")["providers"]
    mounted = dict(volume.split(":")[:2] for volume in compose()["services"]["grafana"]["volumes"])
    assert mounted["./docker/grafana/dashboards"] == provider["options"]["path"]
    assert mounted["./docker/grafana/provisioning"] == "/etc/grafana/provisioning"


def test_panels_have_their_own_numbers_and_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + column, place["y"] + line) for column in range(place["w"]) for line in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells

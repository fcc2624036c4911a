"""The generated files match the rules, and Prometheus raises the same alerts as the monitor."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from ray_jobs.inference.model_manager import ModelManager
from tests.weatherglass.alerts.cases import CASES, NOON, Case
from weatherglass.alerts import metrics as m
from weatherglass.alerts.conditions import Latest
from weatherglass.alerts.notification import Notification, plain_text
from weatherglass.alerts.prometheus_rules import (
    MONITOR_DOWN,
    RUNBOOK_PAGE,
    _template,
    alertmanager_file,
    expression,
    inhibitions,
    rule_file,
    runbook_url,
)
from weatherglass.alerts.rules import DURATION, EVALUATION_SECONDS, RULES_BY_NAME, Rule
from weatherglass.alerts.sample import exposition
from weatherglass.registry.registry import Registry
from weatherglass.settings import PROJECT_ROOT, Settings
from weatherglass.store.alerts import Severity
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate
from weatherglass.verification import degradation

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if not found:
        pytest.skip("promtool is not installed; it is part of Debian's package `prometheus`")
    return found


def run(promtool: str, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run([promtool, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def prometheus_notation(values: list[float | None]) -> str:
    return " ".join("_" if value is None else f"{value:g}" for value in values)


def to_promtool_test(case: Case) -> dict[str, object]:
    rule = RULES_BY_NAME[case.rule]
    series = []
    for (metric, labels), values in case.series.items():
        names = (*metric.labels, "le") if metric.buckets else metric.labels
        pairs = ",".join(f'{name}="{value}"' for name, value in zip(names, labels, strict=True))
        name = metric.name + ("_bucket" if metric.buckets else "")
        # A missing value is stale at once, as when a target no longer exports it.
        gone = next((i for i, value in enumerate(values) if value is None), len(values))
        text = prometheus_notation(values[:gone]) + (
            " stale" + " _" * (len(values) - gone - 1) if gone < len(values) else ""
        )
        series.append({"series": f"{name}{{{pairs}}}", "values": text})
    expected = []
    for step, subjects in case.expected.items():
        samples = []
        for subject in sorted(subjects):
            shown = {} if subject == "pipeline" else dict(zip(rule.condition.labels, subject.split(" "), strict=True))
            shown |= {"alertname": rule.name, "alertstate": "firing", "severity": rule.severity.value}
            pairs = ",".join(f'{name}="{value}"' for name, value in sorted(shown.items()))
            samples.append({"labels": f"ALERTS{{{pairs}}}", "value": 1})
        expected.append(
            {
                "expr": f'ALERTS{{alertname="{rule.name}",alertstate="firing"}}',
                "eval_time": f"{int(step * EVALUATION_SECONDS)}s",
                "exp_samples": samples,
            }
        )
    return {
        "name": f"{case.rule}: {case.name}",
        "interval": "15s",
        "input_series": series,
        "promql_expr_test": expected,
    }


@pytest.mark.integration
def test_prometheus_passes_the_cases_of_every_rule(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "alerts.yml").write_text(rule_file())
    # JSON is YAML.
    tests = {
        "rule_files": ["alerts.yml"],
        "evaluation_interval": "15s",
        "tests": [to_promtool_test(case) for case in CASES],
    }
    (tmp_path / "tests.yml").write_text(json.dumps(tests, indent=1))
    run(promtool, "check", "rules", str(tmp_path / "alerts.yml"))
    assert "SUCCESS" in run(promtool, "test", "rules", str(tmp_path / "tests.yml"))


def test_promtool_accepts_the_exposition(promtool: str) -> None:
    text = "".join(exposition(sample) for case in CASES for sample in list(case.samples())[:1])
    blocks: dict[str, str] = {}
    for block in text.split("# HELP ")[1:]:
        blocks.setdefault(block.split()[0], "# HELP " + block)
    assert run(promtool, "check", "metrics", stdin="".join(blocks.values())) == ""


def test_thresholds_and_durations_are_those_of_the_cluster() -> None:
    monitoring = PROJECT_ROOT / "docker" / "monitoring"
    assert rule_file() == (monitoring / "alerts.yml").read_text(encoding="utf-8"), "run `make reference`"
    assert alertmanager_file() == (monitoring / "alertmanager.yml").read_text(encoding="utf-8")


def test_every_rule_is_in_the_rule_file_with_its_runbook() -> None:
    text = rule_file()
    for name, rule in RULES_BY_NAME.items():
        assert f'alert: "{name}"' in text
        assert f'runbook_url: "{runbook_url(rule.name)}"' in text


def degradation_rules(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The rules whose alerts `check_degradation` sets."""
    rules: set[str] = set()
    monkeypatch.setattr(degradation.alerts, "set_open_alerts", lambda connection, rule, alerts, now: rules.add(rule))
    migrate(settings.store_url)
    with open_store(settings.store_url).begin() as connection:
        degradation.check_degradation(connection, NOON, None, {})
    return rules


def test_every_alert_has_an_entry_in_the_troubleshooting_page(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = {slot.rule for slot in ModelManager(Registry(settings))._slots.values()}
    degradations = degradation_rules(settings, monkeypatch)
    assert slots >= {"forecaster_refused", "detector_refused", "guidance_refused"}
    assert len(degradations) == 5
    headings = re.findall(r"^### (.*)$", (PROJECT_ROOT / RUNBOOK_PAGE).read_text(encoding="utf-8"), re.MULTILINE)
    entries = {f"{RUNBOOK_PAGE}#{heading.lower().replace(' ', '-')}" for heading in headings}
    assert {runbook_url(name) for name in {*RULES_BY_NAME, *degradations, *slots, MONITOR_DOWN}} <= entries
    assert set(re.findall(r'runbook_url: "(.*)"', rule_file())) <= entries


def test_a_notification_names_the_runbook_of_any_alert() -> None:
    notification = Notification("input_drift", "version 3, pressure", "warning", NOON, "…")
    assert f"{RUNBOOK_PAGE}#input-drift" in plain_text([notification])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            Rule("up", Latest(m.KAFKA_UP), 1, 1, SECOND, Severity.CRITICAL, "", "", "", "", "", above=False),
            "max(weatherglass_kafka_up) < 1",
        ),
        (
            Rule("late", Latest(m.POLL_AGE), 4, 2, SECOND, Severity.CRITICAL, "", "", "", "", ""),
            "max(weatherglass_poll_age_ratio) > 4 or (max(weatherglass_poll_age_ratio) > 2 and on() "
            'ALERTS{alertname="late",alertstate="firing"})',
        ),
    ],
)
def test_an_expression_holds_between_the_thresholds_only_while_firing(rule: Rule, expected: str) -> None:
    assert expression(rule) == expected


@pytest.mark.parametrize(
    ("value_format", "template"),
    [
        ("{:.0f}", '{{ $value | printf "%.0f" }}'),
        ("{:.1f}", '{{ $value | printf "%.1f" }}'),
        ("{:.0%}", "{{ $value | humanizePercentage }}"),
        (DURATION, "{{ $value | humanizeDuration }}"),
    ],
)
def test_a_value_format_has_a_template_of_prometheus(value_format: str, template: str) -> None:
    assert _template(value_format) == template


def test_durations_are_formatted_by_prometheus() -> None:
    assert "{{ $value | humanizeDuration }}" in rule_file()


def test_the_alertmanager_file_contains_every_inhibition() -> None:
    config = yaml.safe_load(alertmanager_file())
    assert config["inhibit_rules"] == list(inhibitions())
    assert len(config["inhibit_rules"]) == sum(len(rule.inhibited_by) for rule in RULES_BY_NAME.values()) > 0
    assert config["route"]["receiver"] in [receiver["name"] for receiver in config["receivers"]]


def test_amtool_accepts_the_alertmanager_file(tmp_path: Path) -> None:
    amtool = shutil.which("amtool")
    if not amtool:
        pytest.skip("amtool is not installed; it is part of Debian's package `prometheus-alertmanager`")
    (tmp_path / "alertmanager.yml").write_text(alertmanager_file())
    count = len(list(inhibitions()))
    assert f"{count} inhibit rules" in run(amtool, "check-config", str(tmp_path / "alertmanager.yml"))


def test_inhibitions_between_alerts_about_stations_require_the_same_station() -> None:
    found = {(str(i["source_matchers"]), str(i["target_matchers"])): i.get("equal") for i in inhibitions()}
    assert found["['alertname=\"station_silent\"']", "['alertname=\"station_late\"']"] == ["station"]
    assert found["['alertname=\"broker_unreachable\"']", "['alertname=\"consumer_behind\"']"] is None

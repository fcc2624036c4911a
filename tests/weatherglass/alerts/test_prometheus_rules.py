"""The rule file is what the rules say, and Prometheus does the same with it as the watcher."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ray_jobs.inference.model_manager import ModelManager
from tests.weatherglass.alerts.cases import CASES, NOON, Case
from weatherglass.alerts.notification import Notification
from weatherglass.alerts.notification import text as told
from weatherglass.alerts.prometheus_rules import DOCS, GONE, alertmanager_file, inhibitions, rule_file, runbook
from weatherglass.alerts.rules import BY_NAME, LOOK_SECONDS
from weatherglass.alerts.sample import exposition
from weatherglass.registry.registry import Registry
from weatherglass.settings import PROJECT_ROOT, Settings
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate
from weatherglass.verification import degradation


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if not found:
        pytest.skip("no promtool here; Debian has it in its package `prometheus`")
    return found


def run(promtool: str, *words: str, given: str = "") -> str:
    done = subprocess.run([promtool, *words], input=given, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def notation(values: list[float | None]) -> str:
    return " ".join("_" if value is None else f"{value:g}" for value in values)


def as_test(case: Case) -> dict[str, object]:
    rule = BY_NAME[case.rule]
    series = []
    for (metric, labels), values in case.series.items():
        names = (*metric.labels, "le") if metric.buckets else metric.labels
        pairs = ",".join(f'{name}="{value}"' for name, value in zip(names, labels, strict=True))
        name = metric.name + ("_bucket" if metric.buckets else "")
        # What is no longer measured is stale at once, as it is when a target no longer shows it.
        gone = next((i for i, value in enumerate(values) if value is None), len(values))
        text = notation(values[:gone]) + (" stale" + " _" * (len(values) - gone - 1) if gone < len(values) else "")
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
                "eval_time": f"{int(step * LOOK_SECONDS)}s",
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
def test_prometheus_does_the_same_with_the_same_cases(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "alerts.yml").write_text(rule_file())
    # JSON is YAML.
    tests = {"rule_files": ["alerts.yml"], "evaluation_interval": "15s", "tests": [as_test(case) for case in CASES]}
    (tmp_path / "tests.yml").write_text(json.dumps(tests, indent=1))
    run(promtool, "check", "rules", str(tmp_path / "alerts.yml"))
    assert "SUCCESS" in run(promtool, "test", "rules", str(tmp_path / "tests.yml"))


def test_promtool_finds_the_metrics_clean(promtool: str) -> None:
    text = "".join(exposition(sample) for case in CASES for sample in list(case.samples())[:1])
    blocks: dict[str, str] = {}
    for block in text.split("# HELP ")[1:]:
        blocks.setdefault(block.split()[0], "# HELP " + block)
    assert run(promtool, "check", "metrics", given="".join(blocks.values())) == ""


def test_every_rule_is_in_the_file_with_its_entry() -> None:
    text = rule_file()
    for name, rule in BY_NAME.items():
        assert f'alert: "{name}"' in text
        assert f'runbook: "{runbook(rule.name)}"' in text


def of_the_models_watch(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The rules that `degradation.watch` settles."""
    settled: set[str] = set()
    monkeypatch.setattr(degradation.alerts, "settle", lambda connection, rule, found, now: settled.add(rule))
    migrate(settings.store_url)
    with open_store(settings.store_url).begin() as connection:
        degradation.watch(connection, NOON, None, {})
    return settled


def test_every_alert_has_its_entry_in_the_troubleshooting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    seats = {seat.rule for seat in ModelManager(Registry(settings))._seats.values()}
    models = of_the_models_watch(settings, monkeypatch)
    assert len(seats) == 3
    assert len(models) == 5
    headings = re.findall(r"^### (.*)$", (PROJECT_ROOT / DOCS).read_text(encoding="utf-8"), re.MULTILINE)
    entries = {f"{DOCS}#{heading.lower().replace(' ', '-')}" for heading in headings}
    assert {runbook(name) for name in {*BY_NAME, *models, *seats, GONE}} <= entries
    assert set(re.findall(r'runbook: "(.*)"', rule_file())) <= entries


def test_a_notice_names_the_section_of_any_alert() -> None:
    assert f"Runbook: {DOCS}#input-drift" in told(
        [Notification("input_drift", "version 3, pressure", "warning", NOON, "…")]
    )


def test_durations_are_written_as_such_by_prometheus() -> None:
    assert "was trained {{ $value | humanizeDuration }} ago" in rule_file()


def test_alertmanagers_file_inhibits_what_the_rules_say() -> None:
    written = yaml.safe_load(alertmanager_file())
    assert written["inhibit_rules"] == list(inhibitions())
    assert len(written["inhibit_rules"]) == sum(len(rule.because_of) for rule in BY_NAME.values()) > 0
    assert written["route"]["receiver"] in [receiver["name"] for receiver in written["receivers"]]


def test_amtool_finds_no_fault_in_alertmanagers_file(tmp_path: Path) -> None:
    amtool = shutil.which("amtool")
    if not amtool:
        pytest.skip("no amtool here; Debian has it in its package `prometheus-alertmanager`")
    (tmp_path / "alertmanager.yml").write_text(alertmanager_file())
    count = len(list(inhibitions()))
    assert f"{count} inhibit rules" in run(amtool, "check-config", str(tmp_path / "alertmanager.yml"))


def test_reasons_inhibit_only_what_is_about_the_same() -> None:
    found = {(str(i["source_matchers"]), str(i["target_matchers"])): i.get("equal") for i in inhibitions()}
    assert found["['alertname=\"station_silent\"']", "['alertname=\"station_late\"']"] == ["station"]
    assert found["['alertname=\"broker_unreachable\"']", "['alertname=\"consumer_behind\"']"] is None

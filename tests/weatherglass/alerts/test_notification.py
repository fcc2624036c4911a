"""Notifications as a subject line, as plain text and as JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from weatherglass.alerts.notification import Links, Notification, plain_text, subject_line, to_alert, webhook_document
from weatherglass.alerts.rule_evaluator import FiringAlert
from weatherglass.alerts.rules import RULES_BY_NAME
from weatherglass.store.alerts import Severity

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
LINKS = Links("http://airflow.example")
WARNING = Notification("station_silent", "denver", "warning", NOON, "Silent.", {"page": "http://p", "log": "http://l"})
CRITICAL = Notification("job_not_running", "stream_features", "critical", NOON, "Not running.")
RESOLVED = Notification(
    "job_silent", "sink", "critical", NOON, "No heartbeat.", resolved_at=NOON + timedelta(minutes=5)
)


@pytest.mark.parametrize(
    ("notifications", "subject"),
    [
        ([WARNING], "[Weatherglass: warning] station silent: denver"),
        ([WARNING, CRITICAL], "[Weatherglass: critical] job not running: stream_features and 1 more"),
        ([RESOLVED, CRITICAL, WARNING], "[Weatherglass: critical] job not running: stream_features and 1 more"),
        ([RESOLVED], "[Weatherglass: resolved] job silent: sink"),
        ([RESOLVED, RESOLVED, RESOLVED], "[Weatherglass: resolved] job silent: sink and 2 more"),
    ],
)
def test_the_subject_names_the_most_severe_firing_alert(notifications: list[Notification], subject: str) -> None:
    assert subject_line(notifications) == subject


def test_plain_text_has_one_paragraph_per_alert_with_its_links() -> None:
    warning, critical, resolved = plain_text([WARNING, CRITICAL, RESOLVED]).split("\n\n")
    assert [line.split(": ")[0] for line in warning.split("\n")] == [
        "WARNING since 2026-01-05T12:00:00Z",
        "Silent.",
        "Page",
        "Log",
        "Runbook",
    ]
    assert [line.split(": ")[0] for line in critical.split("\n")] == [
        "CRITICAL since 2026-01-05T12:00:00Z",
        "Not running.",
        "Runbook",
    ]
    assert resolved.count("\n") == 1
    assert {"2026-01-05T12:05:00Z:", "2026-01-05T12:00:00Z)"} <= set(resolved.split())


def test_the_json_document_has_every_field_of_each_alert() -> None:
    document = webhook_document([WARNING, RESOLVED])
    assert document["text"] == f"{subject_line([WARNING, RESOLVED])}\n\n{plain_text([WARNING, RESOLVED])}"
    firing, resolved = document["alerts"]
    assert firing == {
        "rule": "station_silent",
        "subject": "denver",
        "status": "firing",
        "severity": "warning",
        "since": "2026-01-05T12:00:00Z",
        "resolved_at": None,
        "message": "Silent.",
        "details": WARNING.details,
    }
    assert (resolved["status"], resolved["resolved_at"]) == ("resolved", "2026-01-05T12:05:00Z")
    assert (WARNING.key, RESOLVED.key) == (("station_silent", "denver", False), ("job_silent", "sink", True))


def test_an_alert_is_stored_with_its_value_limit_texts_and_links() -> None:
    rule = RULES_BY_NAME["job_not_running"]
    alert = to_alert(FiringAlert(rule, "stream_features", NOON, 0.12345), LINKS)
    assert (alert.rule, alert.subject, alert.severity) == (rule.name, "stream_features", Severity.CRITICAL)
    details = {name: alert.details[name] for name in ("value", "threshold", "impact", "unaffected", "runbook", "log")}
    assert details == {
        "value": 0.123,
        "threshold": rule.threshold,
        "impact": rule.impact,
        "unaffected": rule.unaffected,
        "runbook": rule.runbook,
        "log": "http://airflow.example/dags/stream_features",
    }
    assert alert.details["page"].startswith("http://airflow.example/weatherglass/dashboard/")
    without_dag = next(rule for rule in RULES_BY_NAME.values() if not rule.dag)
    assert "log" not in to_alert(FiringAlert(without_dag, "x", NOON, 1.0), LINKS).details

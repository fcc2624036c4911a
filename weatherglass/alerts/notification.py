"""Notifications: an alert with its texts and links, as plain text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from weatherglass.alerts.prometheus_rules import runbook_url
from weatherglass.alerts.rule_evaluator import FiringAlert
from weatherglass.records import iso
from weatherglass.store.alerts import Alert

CHANNELS_VARIABLE = "ALERT_CHANNELS"
"""Environment variable with the notification channels as JSON; see `monitor.notification_channels`."""


@dataclass(frozen=True)
class Links:
    """Addresses of task logs and dashboard pages.

    Args:
        airflow: base URL of Airflow, below which the dashboard is mounted.
    """

    airflow: str

    def log(self, dag: str) -> str:
        return f"{self.airflow}/dags/{dag}"

    def page(self, page: str) -> str:
        return f"{self.airflow}/weatherglass/dashboard/{page}"


@dataclass(frozen=True)
class Notification:
    """An alert that started firing or, if `resolved_at` is set, was resolved. Times are in UTC."""

    rule: str
    subject: str
    severity: str
    since: datetime
    message: str
    details: dict[str, Any] = field(default_factory=dict)
    resolved_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str, bool]:
        """Rule, subject, and whether it reports the end of the alert."""
        return self.rule, self.subject, self.resolved_at is not None


def to_alert(firing: FiringAlert, links: Links) -> Alert:
    """The alert as it is stored."""
    rule = firing.rule
    summary = rule.summary_for(firing.subject, firing.value)
    details: dict[str, Any] = {
        "value": round(firing.value, 3),
        "threshold": rule.threshold,
        "summary": summary,
        "impact": rule.impact,
        "unaffected": rule.unaffected,
        "runbook": rule.runbook,
        "runbook_url": runbook_url(rule.name),
        "page": links.page(rule.page.format(subject=quote(firing.subject, safe=""))),
    }
    if rule.dag:
        details["log"] = links.log(rule.dag.format(subject=firing.subject))
    message = f"{summary} {rule.impact} Unaffected: {rule.unaffected} {rule.runbook}"
    return Alert(rule.name, firing.subject, rule.severity, message, details)


@dataclass(frozen=True)
class Message:
    """What a channel sends.

    Attributes:
        subject: of an e-mail.
        text: for people.
        document: for programs, as JSON.
        html: of an e-mail, in addition to the text; empty: none.
    """

    subject: str
    text: str
    document: dict[str, Any]
    html: str = ""


def message(notifications: Sequence[Notification]) -> Message:
    """One message about all notifications."""
    return Message(subject_line(notifications), plain_text(notifications), webhook_document(notifications))


def subject_line(notifications: Sequence[Notification]) -> str:
    """One line for all notifications; names the most severe one."""
    firing = [notification for notification in notifications if notification.resolved_at is None]
    if not firing:
        first, count, state = notifications[0], len(notifications), "resolved"
    else:
        first = min(firing, key=lambda notification: notification.severity != "critical")
        count, state = len(firing), first.severity
    more = f" and {count - 1} more" if count > 1 else ""
    return f"[Weatherglass: {state}] {_name(first)}{more}"


def plain_text(notifications: Sequence[Notification]) -> str:
    """All notifications as plain text."""
    return "\n\n".join("\n".join(_lines(notification)) for notification in notifications) + "\n"


def webhook_document(notifications: Sequence[Notification]) -> dict[str, Any]:
    """All notifications as JSON. Most chat services show the field `text`."""
    return {
        "text": f"{subject_line(notifications)}\n\n{plain_text(notifications)}",
        "alerts": [
            {
                "rule": notification.rule,
                "subject": notification.subject,
                "status": "resolved" if notification.resolved_at else "firing",
                "severity": notification.severity,
                "since": iso(notification.since),
                "resolved_at": iso(notification.resolved_at) if notification.resolved_at else None,
                "message": notification.message,
                "details": notification.details,
            }
            for notification in notifications
        ],
    }


def _name(notification: Notification) -> str:
    return f"{notification.rule.replace('_', ' ')}: {notification.subject}"


def _lines(notification: Notification) -> list[str]:
    name, since = _name(notification), iso(notification.since)
    if notification.resolved_at:
        return [f"RESOLVED at {iso(notification.resolved_at)}: {name} (since {since})"]
    links = {"page": "Page", "log": "Log"}
    return [
        f"{notification.severity.upper()} since {since}: {name}",
        notification.message,
        *(f"{label}: {notification.details[key]}" for key, label in links.items() if key in notification.details),
        f"Runbook: {runbook_url(notification.rule)}",
    ]

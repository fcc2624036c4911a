"""An alert in words: what is wrong since when, what it means, what still works, what to do, and where it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from weatherglass.alerts.prometheus_rules import runbook
from weatherglass.alerts.rule_evaluator import Firing
from weatherglass.records import iso
from weatherglass.store.alerts import Alert

CHANNELS_VARIABLE = "ALERT_CHANNELS"
"""Environment variable in which Airflow says where notices are sent; see `monitor.notification_channels`."""


@dataclass(frozen=True)
class Links:
    """Where a reader goes on. `airflow`: base address, the pages are mounted in it."""

    airflow: str

    def log(self, dag: str) -> str:
        return f"{self.airflow}/dags/{dag}"

    def page(self, page: str) -> str:
        return f"{self.airflow}/weatherglass/dashboard/{page}"


@dataclass(frozen=True)
class Notification:
    """An alert that began, or (`over` set) ended."""

    rule: str
    subject: str
    severity: str
    since: datetime
    words: str
    figures: dict[str, Any] = field(default_factory=dict)
    over: datetime | None = None

    @property
    def key(self) -> tuple[str, str, bool]:
        return self.rule, self.subject, self.over is not None


def alert_of(firing: Firing, links: Links) -> Alert:
    """As the store keeps it."""
    rule = firing.rule
    said = rule.said(firing.subject, firing.value)
    figures: dict[str, Any] = {
        "value": round(firing.value, 3),
        "limit": rule.limit,
        "said": said,
        "means": rule.means,
        "still_works": rule.still_works,
        "to_do": rule.to_do,
        "runbook": runbook(rule.name),
        "page": links.page(rule.page.format(subject=quote(firing.subject, safe=""))),
    }
    if rule.dag:
        figures["log"] = links.log(rule.dag.format(subject=firing.subject))
    words = f"{said} {rule.means} Still works: {rule.still_works} {rule.to_do}"
    return Alert(rule.name, firing.subject, rule.severity, words, figures)


def title(notices: Sequence[Notification]) -> str:
    """One line for all of them, the worst first."""
    begun = [notice for notice in notices if notice.over is None]
    if not begun:
        first, count, state = notices[0], len(notices), "over"
    else:
        first = min(begun, key=lambda notice: notice.severity != "critical")
        count, state = len(begun), first.severity
    more = f" and {count - 1} more" if count > 1 else ""
    return f"[Weatherglass: {state}] {_named(first)}{more}"


def text(notices: Sequence[Notification]) -> str:
    """All of them, for a person."""
    return "\n\n".join("\n".join(_lines(notice)) for notice in notices) + "\n"


def document(notices: Sequence[Notification]) -> dict[str, Any]:
    """All of them, for a program; `text` is what most chat services show."""
    return {
        "text": f"{title(notices)}\n\n{text(notices)}",
        "alerts": [
            {
                "rule": notice.rule,
                "subject": notice.subject,
                "status": "over" if notice.over else "begun",
                "severity": notice.severity,
                "since": iso(notice.since),
                "over": iso(notice.over) if notice.over else None,
                "words": notice.words,
                "figures": notice.figures,
            }
            for notice in notices
        ],
    }


def _named(notice: Notification) -> str:
    return f"{notice.rule.replace('_', ' ')}: {notice.subject}"


def _lines(notice: Notification) -> list[str]:
    if notice.over:
        return [f"OVER at {iso(notice.over)}: {_named(notice)} (since {iso(notice.since)})"]
    links = {"page": "Page", "log": "Log"}
    return [
        f"{notice.severity.upper()} since {iso(notice.since)}: {_named(notice)}",
        notice.words,
        *(f"{name}: {notice.figures[field]}" for field, name in links.items() if field in notice.figures),
        f"Runbook: {runbook(notice.rule)}",
    ]

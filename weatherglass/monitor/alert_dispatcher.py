"""Records alerts in the store and sends each of them once to every notification channel.

Acknowledged, silenced and inhibited alerts are recorded but not sent. While the store is unavailable, alerts are sent
nevertheless, and recorded when it is available again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.alerts.notification import Links, Notification, message, to_alert
from weatherglass.alerts.rule_evaluator import AlertKey, Evaluation, FiringAlert, is_inhibited
from weatherglass.alerts.rules import RULES_BY_NAME
from weatherglass.formatting import first_line
from weatherglass.monitor.delivery_queue import DeliveryQueue
from weatherglass.monitor.notification_channels import NotificationChannel
from weatherglass.store import alerts

log = logging.getLogger(__name__)

RENEWAL_INTERVAL = timedelta(minutes=1)
"""How often `seen_at` of firing alerts is updated in the store."""


class AlertDispatcher:
    def __init__(self, store: Engine, channels: Sequence[NotificationChannel], links: Links):
        self._store = store
        self._queues = [DeliveryQueue(channel, message) for channel in channels]
        self._links = links
        self._resolved: dict[AlertKey, tuple[FiringAlert, datetime]] = {}
        """Resolved alerts that are not recorded yet, with the time of their end."""
        self._renewed_at: datetime | None = None
        self._partly_sent: set[int] = set()
        """Ids of alerts whose start was sent, but not by all channels, or is not marked as sent in the store."""
        self._unrecorded: list[Notification] = []
        """Notifications sent, or to be sent, while the store is unavailable."""

    def open_alerts(self) -> list[FiringAlert]:
        """The alerts of these rules that a previous monitor left open.

        Raises:
            SQLAlchemyError: the store cannot be read.
        """
        with self._store.connect() as connection:
            rows = alerts.open_alerts(connection, list(RULES_BY_NAME))
        return [
            FiringAlert(RULES_BY_NAME[row.rule], row.subject, row.since, float(row.details.get("value", 0.0)))
            for row in rows
        ]

    def dispatch(self, evaluation: Evaluation, now: datetime) -> list[str]:
        """Record and send alerts. Returns a message for each channel that failed."""
        self._resolved |= {(alert.rule.name, alert.subject): (alert, now) for alert in evaluation.resolved}
        for alert in evaluation.started:
            self._resolved.pop((alert.rule.name, alert.subject), None)
            for queue in self._queues:
                queue.forget(_keys(alert.rule.name, alert.subject))
        try:
            with self._store.begin() as connection:
                self._record(connection, evaluation, now)
                rows = alerts.pending_notifications(connection, self._partly_sent)
                silenced = alerts.silenced(connection, now)
        except SQLAlchemyError as error:
            log.warning("Alerts cannot be recorded: %s", first_line(error))
            return self._send_without_store(evaluation, now)
        self._resolved.clear()
        self._unrecorded.clear()
        pending = {
            row.id: _from_row(row)
            for row in rows
            if row.resolved_at or not (row.acknowledged_by or (row.rule, row.subject) in silenced)
        }
        due = {
            alert_id: notification
            for alert_id, notification in pending.items()
            if notification.resolved_at or not self._is_inhibited(notification, evaluation)
        }
        errors = self._deliver(due, now)
        self._mark_notified(due, now)
        return errors

    def _deliver(self, due: dict[int, Notification], now: datetime) -> list[str]:
        errors = []
        for queue in self._queues:
            own = [one for alert_id, one in due.items() if self._concerns(queue, alert_id, one)]
            if error := queue.deliver(own, now):
                errors.append(error)
        return errors

    def _concerns(self, queue: DeliveryQueue[Notification], alert_id: int, notification: Notification) -> bool:
        """Whether a channel is due a notification: that of the end only if it has sent that of the start."""
        start = notification.rule, notification.subject, False
        return not notification.resolved_at or alert_id not in self._partly_sent or start in queue.delivered

    def _record(self, connection: Connection, evaluation: Evaluation, now: datetime) -> None:
        for (rule, subject), (alert, resolved_at) in self._resolved.items():
            # The alert may have started and been resolved while the store was unavailable.
            alerts.raise_alert(connection, to_alert(alert, self._links), resolved_at, alert.since)
            alerts.resolve(connection, rule, subject, resolved_at)
        renew = self._renewed_at is None or now - self._renewed_at >= RENEWAL_INTERVAL
        for alert in evaluation.firing if renew else evaluation.started:
            alerts.raise_alert(connection, to_alert(alert, self._links), now, alert.since)
        if renew:
            self._renewed_at = now

    def _is_inhibited(self, notification: Notification, evaluation: Evaluation) -> bool:
        return any(
            is_inhibited(alert, evaluation.firing)
            for alert in evaluation.firing
            if (alert.rule.name, alert.subject) == notification.key[:2]
        )

    def _send_without_store(self, evaluation: Evaluation, now: datetime) -> list[str]:
        self._renewed_at = None  # record all alerts when the store is available again
        self._unrecorded += [
            _from_alert(alert, self._links)
            for alert in evaluation.started
            if not is_inhibited(alert, evaluation.firing)
        ]
        self._unrecorded += [
            _from_alert(alert, self._links, now)
            for alert in evaluation.resolved
            if any((alert.rule.name, alert.subject, False) in queue.delivered for queue in self._queues)
        ]
        errors = [error for queue in self._queues if (error := queue.deliver(self._unrecorded, now))]
        self._unrecorded = [n for n in self._unrecorded if any(n.key not in queue.delivered for queue in self._queues)]
        return errors

    def _mark_notified(self, due: dict[int, Notification], now: datetime) -> None:
        delivered = {}
        for alert_id, notification in due.items():
            sent = [notification.key in q.delivered for q in self._queues if self._concerns(q, alert_id, notification)]
            if sent and all(sent):
                delivered[alert_id] = notification
            elif any(sent) and not notification.resolved_at:
                self._partly_sent.add(alert_id)
        if not delivered:
            return
        try:
            with self._store.begin() as connection:
                for alert_id, notification in delivered.items():
                    alerts.mark_notified(connection, alert_id, notification.resolved_at is not None, now)
        except SQLAlchemyError as error:
            log.warning("Sent alerts cannot be marked as sent: %s", first_line(error))
            self._partly_sent |= {alert_id for alert_id, one in delivered.items() if not one.resolved_at}
            return
        self._partly_sent -= delivered.keys()
        for queue in self._queues:
            for notification in delivered.values():
                if notification.resolved_at:
                    queue.forget(_keys(notification.rule, notification.subject))


def _keys(rule: str, subject: str) -> set[tuple[str, str, bool]]:
    """The keys of both notifications of an alert."""
    return {(rule, subject, False), (rule, subject, True)}


def _from_row(row: Row[Any]) -> Notification:
    return Notification(
        rule=row.rule,
        subject=row.subject,
        severity=row.severity,
        since=row.since,
        message=row.message,
        details=row.details,
        resolved_at=row.resolved_at,
    )


def _from_alert(firing: FiringAlert, links: Links, resolved_at: datetime | None = None) -> Notification:
    alert = to_alert(firing, links)
    return Notification(
        alert.rule, alert.subject, alert.severity.value, firing.since, alert.message, dict(alert.details), resolved_at
    )

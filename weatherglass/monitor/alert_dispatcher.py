"""What becomes of alerts: kept in the store, sent on once, quiet where somebody wants that or a reason explains it.

While the store is away alerts are sent all the same, and kept when it is back.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.alerts.notification import Links, Notification, alert_of
from weatherglass.alerts.rule_evaluator import Evaluation, Firing, explained
from weatherglass.alerts.rules import BY_NAME
from weatherglass.formatting import first_line
from weatherglass.monitor.notification_channels import ChannelError, NotificationChannel
from weatherglass.store import alerts

log = logging.getLogger(__name__)

RENEWED_EVERY = timedelta(minutes=1)
"""How often the store is told that an alert still stands."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=5)
"""Between two tries of a channel that does not take anything; each is twice the one before."""

Key = tuple[str, str, bool]


class DeliveryQueue:
    """A channel, what it has taken, and when it is tried again."""

    def __init__(self, channel: NotificationChannel):
        self.channel = channel
        self.taken: set[Key] = set()
        self._pause = FIRST_PAUSE
        self._not_before: datetime | None = None

    def deliver(self, notices: Sequence[Notification], now: datetime) -> str | None:
        """Send what it has not taken yet; in words why that failed, where it did."""
        due = [notice for notice in notices if notice.key not in self.taken]
        if not due or (self._not_before and now < self._not_before):
            return None
        try:
            self.channel.send(due)
        except ChannelError as error:
            return self._failed(len(due), now, str(error))
        except Exception as error:  # whatever it is, it must keep neither the other channels nor the watcher
            where = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
            return self._failed(len(due), now, why)  # without its words, which may hold a password
        self._pause, self._not_before = FIRST_PAUSE, None
        self.taken |= {notice.key for notice in due}
        return None

    def _failed(self, due: int, now: datetime, why: str) -> str:
        self._not_before = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return f"{due} alerts could not be sent on by {self.channel.name}, trying again: {why}"

    def forget(self, rule: str, subject: str) -> None:
        """What was sent of it is over and done: it may begin anew."""
        self.taken -= {(rule, subject, False), (rule, subject, True)}


class AlertDispatcher:
    def __init__(self, store: Engine, channels: Sequence[NotificationChannel], links: Links):
        self._store = store
        self._posts = [DeliveryQueue(channel) for channel in channels]
        self._links = links
        self._over: dict[tuple[str, str], tuple[Firing, datetime]] = {}
        self._kept_at: datetime | None = None
        self._away: list[Notification] = []
        """What was sent, or is to be, while the store is away."""

    def known(self) -> list[Firing]:
        """The alerts of the rules that an earlier watcher left open; raises SQLAlchemyError."""
        with self._store.connect() as connection:
            rows = alerts.open_of(connection, list(BY_NAME))
        return [Firing(BY_NAME[row.rule], row.subject, row.since, float(row.figures.get("value", 0.0))) for row in rows]

    def take(self, look: Evaluation, now: datetime) -> list[str]:
        """Keep and send; in words what went wrong with that."""
        self._over |= {(f.rule.name, f.subject): (f, now) for f in look.over}
        for firing in look.begun:
            self._over.pop((firing.rule.name, firing.subject), None)
            for post in self._posts:
                post.forget(firing.rule.name, firing.subject)
        try:
            with self._store.begin() as connection:
                self._keep(connection, look, now)
                rows = alerts.to_send(connection)
                quiet = alerts.silenced(connection, now)
        except SQLAlchemyError as error:
            log.info("alerts cannot be kept: %s", first_line(error))
            return self._send_without_store(look, now)
        self._over.clear()
        self._away.clear()
        due = {
            row.id: _notice(row)
            for row in rows
            if row.resolved_at or not (row.acknowledged_by or (row.rule, row.subject) in quiet)
        }
        due = {number: notice for number, notice in due.items() if notice.over or not self._explained(notice, look)}
        said = self._deliver(list(due.values()), now)
        self._mark(due, now)
        return said

    def _keep(self, connection: Connection, look: Evaluation, now: datetime) -> None:
        for rule, subject in self._over:
            firing, ended = self._over[rule, subject]
            # It may have come and gone while the store was away.
            alerts.report(connection, alert_of(firing, self._links), ended, firing.since)
            alerts.resolve(connection, rule, subject, ended)
        renew = self._kept_at is None or now - self._kept_at >= RENEWED_EVERY
        for firing in look.on if renew else look.begun:
            alerts.report(connection, alert_of(firing, self._links), now, firing.since)
        if renew:
            self._kept_at = now

    def _explained(self, notice: Notification, look: Evaluation) -> bool:
        return any(
            explained(firing, look.on) for firing in look.on if (firing.rule.name, firing.subject) == notice.key[:2]
        )

    def _send_without_store(self, look: Evaluation, now: datetime) -> list[str]:
        self._kept_at = None  # when it is back everything is kept anew
        begun = [_told(firing, self._links) for firing in look.begun if not explained(firing, look.on)]
        self._away += begun
        self._away += [
            _told(firing, self._links, now)
            for firing in look.over
            if any((firing.rule.name, firing.subject, False) in post.taken for post in self._posts)
        ]
        said = self._deliver(self._away, now)
        self._away = [n for n in self._away if any(n.key not in post.taken for post in self._posts)]
        return said

    def _deliver(self, notices: list[Notification], now: datetime) -> list[str]:
        return [said for post in self._posts if (said := post.deliver(notices, now))]

    def _mark(self, due: dict[int, Notification], now: datetime) -> None:
        done = {
            number: notice
            for number, notice in due.items()
            if self._posts and all(notice.key in post.taken for post in self._posts)
        }
        if not done:
            return
        try:
            with self._store.begin() as connection:
                for number, notice in done.items():
                    alerts.mark_sent(connection, number, notice.over is not None, now)
        except SQLAlchemyError as error:
            log.info("what was sent cannot be noted: %s", error)
            return
        for post in self._posts:
            for notice in done.values():
                if notice.over:
                    post.forget(notice.rule, notice.subject)


def _notice(row: Row[Any]) -> Notification:
    return Notification(
        rule=row.rule,
        subject=row.subject,
        severity=row.severity,
        since=row.since,
        words=row.words,
        figures=row.figures,
        over=row.resolved_at,
    )


def _told(firing: Firing, links: Links, over: datetime | None = None) -> Notification:
    alert = alert_of(firing, links)
    return Notification(
        alert.rule, alert.subject, alert.severity.value, firing.since, alert.words, dict(alert.figures), over
    )

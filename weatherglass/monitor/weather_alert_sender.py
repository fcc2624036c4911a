"""Sends weather alerts to the notification channels, outside of the quiet hours of their rules."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.alerts.notification import Links
from weatherglass.formatting import first_line
from weatherglass.monitor.delivery_queue import DeliveryQueue
from weatherglass.monitor.notification_channels import NotificationChannel
from weatherglass.settings import Settings
from weatherglass.stations import StationsError, known_stations
from weatherglass.store import weather_alerts
from weatherglass.store.readable import read_rows
from weatherglass.store.weather_alerts import StoredRule
from weatherglass.weather_alerts.message import WeatherAlertNotice, message, notice
from weatherglass.weather_alerts.rule import QuietHours, parse_rule

log = logging.getLogger(__name__)


class WeatherAlertSender:
    """Sends the start and the end of each alert once to each channel; what is due is in the store.

    Args:
        station_names: returns the names of the stations by id.
    """

    def __init__(
        self,
        store: Engine,
        channels: Sequence[NotificationChannel],
        links: Links,
        station_names: Callable[[], Mapping[str, str]],
    ):
        self._store = store
        self._queues = [DeliveryQueue(channel, message) for channel in channels]
        self._links = links
        self._station_names = station_names

    def send(self, now: datetime) -> list[str]:
        """Send what is due. Returns a message for each channel that failed."""
        if not self._queues:
            return []
        try:
            with self._store.connect() as connection:
                pending = weather_alerts.pending_messages(connection)
                quiet = _quiet_hours(weather_alerts.rules(connection)) if pending else {}
        except SQLAlchemyError as error:
            log.warning("Weather alerts cannot be read: %s", first_line(error))
            return []
        due = [alert for alert in pending if not (alert.rule_id in quiet and quiet[alert.rule_id].include(now))]
        if not due:
            return []
        names = self._station_names()
        notices = [notice(alert, names, self._links) for alert in due]
        concerned = [(queue, [one for one in notices if _concerns(queue, one)]) for queue in self._queues]
        errors = [failure for queue, own in concerned if (failure := queue.deliver(own, now))]
        waiting = {one.key for queue, own in concerned for one in own if one.key not in queue.delivered}
        sent = [one for one in notices if one.key not in waiting]
        if not sent:
            return errors
        try:
            with self._store.begin() as connection:
                weather_alerts.mark_sent(connection, [one.alert for one in sent], now)
        except SQLAlchemyError as error:
            log.warning("Sent weather alerts cannot be marked as sent: %s", first_line(error))
            return errors
        for queue in self._queues:
            queue.forget(key for one in sent for key in {one.key, one.start_key})
        return errors


def _concerns(queue: DeliveryQueue[WeatherAlertNotice], one: WeatherAlertNotice) -> bool:
    """Whether a channel is due a notice: the end of an alert only if its start was delivered."""
    return not one.has_ended or one.alert.sent_at is not None or one.start_key in queue.delivered


def station_names(settings: Settings) -> dict[str, str]:
    """The names of the known stations by id; empty if the station table cannot be used."""
    try:
        return {station.station_id: station.name for station in known_stations(settings).values()}
    except StationsError:
        return {}


def _quiet_hours(rules: Sequence[StoredRule]) -> dict[int, QuietHours]:
    """The quiet hours by the id of the rule. The alerts of a rule that cannot be read have none."""

    def read(stored: StoredRule) -> tuple[int, QuietHours | None]:
        return stored.id, parse_rule(stored.definition).quiet_hours

    return {rule_id: quiet for rule_id, quiet in read_rows(rules, read) if quiet is not None}

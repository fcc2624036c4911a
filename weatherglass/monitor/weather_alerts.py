"""Evaluates the weather alert rules every minute, and records in the store which alerts start and end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.formatting import first_line
from weatherglass.store import weather_alerts
from weatherglass.store.anomalies import flagged_readings
from weatherglass.store.forecast_inputs import latest_inputs
from weatherglass.store.readable import read_row, read_rows
from weatherglass.store.verdicts import Judgement
from weatherglass.store.weather_alerts import EndReason, StoredRule, WeatherAlert
from weatherglass.weather_alerts.evaluation import READING_SPAN, Finding, StationData, evaluate, station_data
from weatherglass.weather_alerts.outlook import NotEvaluated, StationForecast
from weatherglass.weather_alerts.rule import FaultRule, ForecastRule, parse_rule

log = logging.getLogger(__name__)

EVALUATION_INTERVAL = timedelta(minutes=1)
MAX_READINGS = 5_000
"""Flagged readings that rules about faults look at, the newest ones of all stations."""

OpenAlerts = dict[tuple[int, str], WeatherAlert]


class WeatherAlertRun:
    """Evaluates all rules, one by one: a rule or station that cannot be evaluated is named, and its alert is kept."""

    def __init__(self, store: Engine):
        self._store = store
        self._evaluated_at: datetime | None = None

    def run(self, now: datetime) -> list[str]:
        """Evaluate the rules if it is time. Returns a line for the task log for each change."""
        if self._evaluated_at is not None and now - self._evaluated_at < EVALUATION_INTERVAL:
            return []
        self._evaluated_at = now
        try:
            with self._store.begin() as connection:
                return self._evaluate(connection, now)
        except SQLAlchemyError as error:
            log.warning("Weather alert rules cannot be evaluated: %s", first_line(error))
            return []

    def _evaluate(self, connection: Connection, now: datetime) -> list[str]:
        stored_rules = weather_alerts.rules(connection)
        if not stored_rules:
            return []
        data = _station_data(connection, now)
        open_alerts = weather_alerts.open_alerts(connection)
        lines = []
        for stored in stored_rules:
            rule = read_row(stored, _parse)
            if rule is not None:
                lines += self._apply(connection, stored.id, rule, data, open_alerts, now)
        return lines

    def _apply(
        self,
        connection: Connection,
        rule_id: int,
        rule: ForecastRule | FaultRule,
        data: StationData,
        open_alerts: OpenAlerts,
        now: datetime,
    ) -> list[str]:
        own = {station_id: alert for (owner, station_id), alert in open_alerts.items() if owner == rule_id}
        lines = []
        results = evaluate(rule, data, list(own), now)
        for station_id, result in results.items():
            alert = own.get(station_id)
            if isinstance(result, Finding) and result.is_open:
                weather_alerts.open_or_renew(connection, rule_id, rule.name, station_id, result.details, now)
                if alert is None:
                    lines.append(f"WEATHER ALERT {rule.name}: {station_id}")
            elif alert is not None and (reason := _end_reason(alert, result, now)):
                weather_alerts.end(connection, alert.id, reason, now)
                lines.append(f"WEATHER ALERT ENDED ({reason}) {rule.name}: {station_id}")
        reasons = {
            station_id: result.value for station_id, result in results.items() if isinstance(result, NotEvaluated)
        }
        weather_alerts.save_evaluation(connection, rule_id, now, reasons)
        return lines


def _station_data(connection: Connection, now: datetime) -> StationData:
    forecasts = read_rows(latest_inputs(connection), StationForecast.from_row)
    since = now - READING_SPAN
    verdicts: Sequence[Judgement | bool] = (False, Judgement.CONFIRMED)
    flagged = [
        reading
        for verdict in verdicts
        for reading in flagged_readings(connection, MAX_READINGS, since=since, verdict=verdict)
    ]
    return station_data(forecasts, flagged)


def _parse(stored: StoredRule) -> ForecastRule | FaultRule:
    return parse_rule(stored.definition)


def _end_reason(alert: WeatherAlert, result: Finding | NotEvaluated, now: datetime) -> EndReason | None:
    """Why an open alert ends; None if it stays open, because it is not known that it is over."""
    if isinstance(result, Finding):
        return EndReason.CLEARED
    until = read_row(alert, _until)
    return EndReason.EXPIRED if until is None or until <= now else None


def _until(alert: WeatherAlert) -> datetime:
    return datetime.fromisoformat(alert.details["until"])

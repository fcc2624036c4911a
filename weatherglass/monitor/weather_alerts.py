"""Evaluates the weather alert rules every minute, and records in the store which alerts start and end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.formatting import first_line
from weatherglass.monitor.store_metrics import STATION_EXPIRY
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


@dataclass(frozen=True)
class RuleEvaluation:
    """What an evaluation of a rule changes; details by station id, or by the id of the open alert."""

    rule_id: int
    rule_name: str
    started: dict[str, dict[str, Any]]
    renewed: dict[int, dict[str, Any]]
    ended: list[tuple[WeatherAlert, EndReason]]
    not_evaluated: dict[str, str]


class WeatherAlertRun:
    """Evaluates all rules, one by one: a rule or station that cannot be evaluated is named, and its alert is kept.

    Args:
        heartbeat: is called after each rule, because many rules for many stations take seconds.
    """

    def __init__(self, store: Engine, heartbeat: Callable[[], None]):
        self._store, self._heartbeat = store, heartbeat
        self._evaluated_at: datetime | None = None

    def run(self, now: datetime) -> list[str]:
        """Evaluate the rules if it is time. Returns a line for the task log for each change."""
        if self._evaluated_at is not None and now - self._evaluated_at < EVALUATION_INTERVAL:
            return []
        self._evaluated_at = now
        try:
            with self._store.connect() as connection:
                rules = [(stored.id, read_row(stored, _parse)) for stored in weather_alerts.rules(connection)]
                if not rules:
                    return []
                has_fault_rule = any(isinstance(rule, FaultRule) for _, rule in rules)
                data = _station_data(connection, now, has_fault_rule)
                open_alerts = weather_alerts.open_alerts(connection)
            evaluations = [self._evaluate(rule_id, rule, data, open_alerts, now) for rule_id, rule in rules]
            with self._store.begin() as connection:
                return [line for evaluation in evaluations for line in _save(connection, evaluation, now)]
        except SQLAlchemyError as error:
            log.warning("Weather alert rules cannot be evaluated: %s", first_line(error))
            return []

    def _evaluate(
        self,
        rule_id: int,
        rule: ForecastRule | FaultRule | None,
        data: StationData,
        open_alerts: OpenAlerts,
        now: datetime,
    ) -> RuleEvaluation:
        own = {station_id: alert for (owner, station_id), alert in open_alerts.items() if owner == rule_id}
        results: Mapping[str, Finding | NotEvaluated] = (
            evaluate(rule, data, list(own), now) if rule else dict.fromkeys(own, NotEvaluated.UNREADABLE)
        )
        found = RuleEvaluation(rule_id, rule.name if rule else str(rule_id), {}, {}, [], {})
        for station_id, result in results.items():
            alert = own.get(station_id)
            if isinstance(result, NotEvaluated):
                found.not_evaluated[station_id] = result.value
            if isinstance(result, Finding) and result.is_open:
                if alert is None:
                    found.started[station_id] = result.details
                else:
                    found.renewed[alert.id] = result.details
            elif alert is not None and (reason := _end_reason(alert, result, now)):
                found.ended.append((alert, reason))
        self._heartbeat()
        return found


def _save(connection: Connection, found: RuleEvaluation, now: datetime) -> list[str]:
    """Record an evaluation, unless the rule was deleted meanwhile. Returns lines for the task log."""
    if not weather_alerts.save_evaluation(connection, found.rule_id, now, found.not_evaluated):
        return []
    weather_alerts.renew(connection, found.renewed, now)
    for station_id, details in found.started.items():
        weather_alerts.open_alert(connection, found.rule_id, found.rule_name, station_id, details, now)
    for alert, reason in found.ended:
        weather_alerts.end(connection, alert.id, reason, now)
    started = [f"WEATHER ALERT {found.rule_name}: {station_id}" for station_id in found.started]
    return started + [
        f"WEATHER ALERT ENDED ({reason}) {alert.rule_name}: {alert.station_id}" for alert, reason in found.ended
    ]


def _station_data(connection: Connection, now: datetime, with_faults: bool) -> StationData:
    rows = [row for row in latest_inputs(connection) if now - row.timestamp < STATION_EXPIRY]
    forecasts = read_rows(rows, StationForecast.from_row)
    since = now - READING_SPAN
    verdicts: Sequence[Judgement | bool] = (False, Judgement.CONFIRMED)
    flagged = [
        reading
        for verdict in (verdicts if with_faults else ())
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

"""The evaluation of weather alert rules with a real store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text, update

from tests.weatherglass.monitor.conftest import Clock
from tests.weatherglass.store.samples import NOON, a_prediction, an_observation
from tests.weatherglass.weather_alerts.rules import FAULT, FROST, a_normal_prediction, dip
from weatherglass.monitor.store_metrics import STATION_EXPIRY
from weatherglass.monitor.weather_alerts import EVALUATION_INTERVAL, WeatherAlertRun
from weatherglass.records import Prediction
from weatherglass.store import observations, predictions, verdicts, weather_alerts
from weatherglass.store.anomalies import flagged_readings
from weatherglass.store.anomaly_events import MAX_GAP
from weatherglass.store.schema import predictions as predictions_table
from weatherglass.store.schema import weather_alert_rules
from weatherglass.store.verdicts import Judgement, Verdict

MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON + MINUTE)


class Scenario:
    """Rules, forecasts and evaluations, a minute apart."""

    def __init__(self, store: Engine, clock: Clock):
        self.store, self.clock = store, clock
        self.evaluation = WeatherAlertRun(store, self.heartbeat)
        self.after_rule: Callable[[], object] = lambda: None

    def heartbeat(self) -> None:
        self.after_rule()

    def add_rule(self, **fields: Any) -> int:
        usual = FAULT if fields.get("kind") == "fault" else FROST
        with self.store.begin() as connection:
            return weather_alerts.add_rule(connection, usual | fields, "ann", self.clock.now)

    def save(self, *forecasts: Prediction) -> None:
        with self.store.begin() as connection:
            predictions.save(connection, forecasts, self.clock.now)

    def forecast(self, temperature: float, station_id: str = "new-york", timestamp: datetime = NOON) -> None:
        """Save a forecast with this temperature at a lead of 12 h, 15 °C otherwise, and a deviation of 1 °C."""
        series = {"temperature": dip(12, temperature, 15.0)}
        self.save(a_normal_prediction(series, 1.0, station_id, timestamp))

    def step(self, seconds: float = 60) -> list[str]:
        self.clock.advance(seconds)
        return self.evaluation.run(self.clock.now)

    def open(self) -> set[tuple[int, str]]:
        with self.store.connect() as connection:
            return set(weather_alerts.open_alerts(connection))

    def ended(self) -> list[tuple[str, str | None]]:
        with self.store.connect() as connection:
            rows = weather_alerts.list_alerts(connection, 50, is_open=False)
        return [(row.station_id, row.end_reason) for row in reversed(rows)]

    def not_evaluated(self, rule_id: int) -> dict[str, str]:
        with self.store.connect() as connection:
            rule = weather_alerts.get_rule(connection, rule_id)
        assert rule is not None
        assert rule.evaluated_at == self.clock.now
        return rule.not_evaluated


@pytest.fixture
def scenario(store: Engine, clock: Clock) -> Scenario:
    return Scenario(store, clock)


def test_an_alert_starts_and_ends_at_different_probabilities(scenario: Scenario) -> None:
    rule = scenario.add_rule(probability=0.7, end_probability=0.3)
    # The probabilities of frost are 0.31, 0.69, 0.73, 0.31, 0.27, 0.69.
    states = []
    for temperature in (0.5, -0.5, -0.6, 0.5, 0.6, -0.5):
        scenario.forecast(temperature)
        lines = scenario.step()
        states.append(((rule, "new-york") in scenario.open(), len(lines)))
    assert states == [(False, 0), (False, 0), (True, 1), (True, 0), (False, 1), (False, 0)]
    assert scenario.ended() == [("new-york", "cleared")]


def test_rules_are_evaluated_once_a_minute(scenario: Scenario) -> None:
    scenario.forecast(-5)
    scenario.add_rule()
    assert scenario.step()
    later = scenario.add_rule()
    seconds = EVALUATION_INTERVAL.total_seconds()
    assert scenario.step(seconds - 1) == []
    assert scenario.step(1)
    assert (later, "new-york") in scenario.open()


def test_a_group_has_an_alert_for_each_of_its_stations(scenario: Scenario) -> None:
    for station, temperature in (("boston", -5), ("denver", -5), ("miami", 5), ("new-york", -5)):
        scenario.forecast(temperature, station)
    group = scenario.add_rule(stations=["boston", "miami", "denver"])
    everywhere = scenario.add_rule(stations=None)
    scenario.step()
    expected = {(group, "boston"), (group, "denver")}
    expected |= {(everywhere, station) for station in ("boston", "denver", "new-york")}
    assert scenario.open() == expected


def test_what_cannot_be_evaluated_is_named_and_does_not_affect_the_others(scenario: Scenario, store: Engine) -> None:
    unreadable = scenario.add_rule()
    rule = scenario.add_rule(stations=["boston", "denver", "miami", "new-york"])
    fall = scenario.add_rule(variable="pressure", condition="fall", threshold=3, unit="hPa", stations=None)
    scenario.forecast(-5, "boston", NOON - timedelta(days=2))
    scenario.forecast(-5, "denver")
    scenario.forecast(-5)
    with store.begin() as connection:
        rows = update(predictions_table).where(predictions_table.c.station_id == "denver")
        connection.execute(rows.values(predictions={"valid_times": 7}))
        connection.execute(
            update(weather_alert_rules)
            .where(weather_alert_rules.c.id == unreadable)
            .values(definition={"kind": "forecast", "unit": "furlong"})
        )
        observations.save(connection, [an_observation("denver", NOON)], NOON)
    scenario.step()
    assert scenario.open() == {(rule, "new-york")}
    assert scenario.not_evaluated(rule) == {"boston": "no_forecast", "denver": "unreadable", "miami": "no_forecast"}
    reasons = {"boston": "no_observation", "denver": "unreadable", "new-york": "no_observation"}
    assert scenario.not_evaluated(fall) == reasons


def test_a_rule_that_is_deleted_during_the_evaluation_opens_no_alert(scenario: Scenario, store: Engine) -> None:
    scenario.forecast(-5)
    deleted, other = scenario.add_rule(), scenario.add_rule()

    def delete() -> None:
        with store.begin() as connection:
            weather_alerts.delete_rule(connection, deleted, scenario.clock.now)

    scenario.after_rule = delete
    assert len(scenario.step()) == 1
    assert scenario.open() == {(other, "new-york")}


def test_the_open_alert_of_a_rule_that_cannot_be_read_any_more_expires(scenario: Scenario, store: Engine) -> None:
    rule = scenario.add_rule(last_lead=14)
    scenario.forecast(-5)
    scenario.step()
    with store.begin() as connection:
        connection.execute(update(weather_alert_rules).values(definition={"kind": "forecast", "unit": "furlong"}))
    scenario.step()
    assert scenario.open() == {(rule, "new-york")}
    scenario.step(24 * 3600)
    assert scenario.ended() == [("new-york", "expired")]


def test_a_station_that_was_removed_belongs_to_no_rule_for_all_stations(scenario: Scenario) -> None:
    scenario.forecast(5, "boston", NOON - STATION_EXPIRY)
    scenario.forecast(5)
    rule = scenario.add_rule(stations=None)
    scenario.step()
    assert scenario.not_evaluated(rule) == {}


def test_without_a_newer_forecast_the_alert_stays_open_until_its_hours_have_passed(scenario: Scenario) -> None:
    rule = scenario.add_rule(last_lead=14)
    scenario.forecast(-5)
    scenario.step()
    scenario.step(11.5 * 3600)  # 23:47, the frost is at midnight
    assert scenario.open() == {(rule, "new-york")}
    scenario.step(3600)  # the hours with frost have passed, two others are to come
    assert scenario.ended() == [("new-york", "cleared")]
    scenario.forecast(-5, timestamp=NOON + timedelta(hours=13))
    scenario.step()
    assert scenario.open() == {(rule, "new-york")}
    with scenario.store.begin() as connection:
        connection.execute(update(predictions_table).values(predictions=None))
    scenario.step(12 * 3600)
    assert scenario.open() == {(rule, "new-york")}
    assert scenario.not_evaluated(rule) == {"new-york": "unreadable"}
    scenario.step(3 * 3600)
    assert scenario.open() == set()
    assert scenario.ended()[1:] == [("new-york", "expired")]


def test_after_a_restart_an_open_alert_is_continued(scenario: Scenario, store: Engine, clock: Clock) -> None:
    rule = scenario.add_rule(probability=0.7, end_probability=0.3)
    scenario.forecast(-5)
    scenario.step()
    restarted = Scenario(store, clock)
    restarted.forecast(0.4)  # 0.34: enough to continue, not to start
    assert restarted.step() == []
    assert restarted.open() == {(rule, "new-york")}


def test_while_the_store_is_unavailable_nothing_is_evaluated(scenario: Scenario, store: Engine) -> None:
    scenario.add_rule()
    scenario.forecast(-5)
    with store.begin() as connection:
        connection.execute(text("ALTER TABLE weather_alert_rules RENAME TO away"))
    assert scenario.step() == []
    with store.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO weather_alert_rules"))
    assert len(scenario.step()) == 1


def test_consecutive_flags_of_a_fault_raise_an_alert_until_they_stop(scenario: Scenario) -> None:
    rule = scenario.add_rule(kind="fault", min_readings=2, min_score=0.8)
    for minute in (0, 5):
        scenario.save(a_prediction(timestamp=NOON + minute * MINUTE, failed=("step",) if minute else ()))
        assert scenario.step() == []
    scenario.save(a_prediction(timestamp=NOON + 10 * MINUTE, failed=("step", "range")))
    assert len(scenario.step(600)) == 1
    with scenario.store.connect() as connection:
        alert = weather_alerts.open_alerts(connection)[rule, "new-york"]
    assert (alert.details["checks"], alert.details["readings"]) == (["range", "step"], 2)
    assert (alert.details["score"], alert.details["reasons"]) == (0.9, ["step failed"])
    end = NOON + 10 * MINUTE + MAX_GAP
    scenario.clock.now = end - MINUTE
    assert scenario.step() == []
    assert scenario.step() != []
    assert scenario.ended() == [("new-york", "cleared")]


@pytest.mark.parametrize(
    ("fields", "judgement", "is_open"),
    [
        ({}, None, True),
        ({}, Judgement.CONFIRMED, True),
        ({}, Judgement.FALSE_ALARM, False),
        ({"min_score": 0.95}, None, False),
        ({"min_readings": 4}, None, False),
        ({"stations": ["boston"]}, None, False),
        ({"stations": None}, None, True),
    ],
)
def test_only_flags_of_the_rule_without_the_verdict_false_alarm_count(
    scenario: Scenario, fields: dict[str, Any], judgement: Judgement | None, is_open: bool
) -> None:
    rule = scenario.add_rule(kind="fault", **fields)
    scenario.save(*(a_prediction(timestamp=NOON - 5 * minute * MINUTE, failed=("step",)) for minute in range(3)))
    with scenario.store.begin() as connection:
        for reading in flagged_readings(connection, 9) if judgement else ():
            verdict = Verdict(judgement or Judgement.CONFIRMED, "ann", NOON, "")
            verdicts.save(connection, reading.station_id, reading.timestamp, verdict)
    scenario.step()
    assert scenario.open() == ({(rule, "new-york")} if is_open else set())
    missing = fields.get("stations") == ["boston"]
    assert scenario.not_evaluated(rule) == ({"boston": "no_reading"} if missing else {})

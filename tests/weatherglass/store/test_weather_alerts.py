from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from tests.weatherglass.store.samples import NOON, a_prediction, an_observation
from weatherglass.store import observations, predictions, weather_alerts
from weatherglass.store.forecast_inputs import first_of_each_hour, latest_inputs
from weatherglass.store.weather_alerts import EndReason

HOUR = timedelta(hours=1)


def test_a_rule_is_in_use_until_it_is_deleted_which_ends_its_open_alerts(connection: Connection) -> None:
    first = weather_alerts.add_rule(connection, {"name": "a"}, "ann", NOON)
    second = weather_alerts.add_rule(connection, {"name": "b"}, "bob", NOON)
    for rule_id in (first, second):
        weather_alerts.open_alert(connection, rule_id, "a", "boston", {}, NOON)
    assert [rule.definition for rule in weather_alerts.rules(connection)] == [{"name": "a"}, {"name": "b"}]
    assert weather_alerts.delete_rule(connection, first, NOON + HOUR)
    assert not weather_alerts.delete_rule(connection, first, NOON + 2 * HOUR)
    assert weather_alerts.save_evaluation(connection, second, NOON, {})
    assert not weather_alerts.save_evaluation(connection, first, NOON, {})
    assert [rule.id for rule in weather_alerts.rules(connection)] == [second]
    assert (weather_alerts.get_rule(connection, first), weather_alerts.count_rules(connection)) == (None, 1)
    (ended,) = weather_alerts.list_alerts(connection, 10, is_open=False)
    assert (ended.rule_id, ended.ended_at, ended.end_reason) == (first, NOON + HOUR, EndReason.DELETED)
    assert set(weather_alerts.open_alerts(connection)) == {(second, "boston")}


def test_an_open_alert_is_renewed_and_another_one_follows_its_end(connection: Connection) -> None:
    weather_alerts.open_alert(connection, 1, "Frost", "boston", {"probability": 0}, NOON)
    ((_, alert),) = weather_alerts.open_alerts(connection).items()
    weather_alerts.renew(connection, {}, NOON + 2 * HOUR)
    weather_alerts.renew(connection, {alert.id: {"probability": 1}}, NOON + HOUR)
    ((_, alert),) = weather_alerts.open_alerts(connection).items()
    assert (alert.since, alert.seen_at, alert.details) == (NOON, NOON + HOUR, {"probability": 1})
    weather_alerts.end(connection, alert.id, EndReason.CLEARED, NOON + 2 * HOUR)
    weather_alerts.end(connection, alert.id, EndReason.EXPIRED, NOON + 3 * HOUR)
    weather_alerts.renew(connection, {alert.id: {}}, NOON + 3 * HOUR)
    weather_alerts.open_alert(connection, 1, "Frost", "boston", {}, NOON + 4 * HOUR)
    newest, ended = weather_alerts.list_alerts(connection, 10)
    assert (ended.ended_at, ended.end_reason, newest.ended_at) == (NOON + 2 * HOUR, EndReason.CLEARED, None)
    assert weather_alerts.list_alerts(connection, 10, before_id=newest.id) == [ended]
    assert weather_alerts.list_alerts(connection, 10, station_id="new-york") == []
    with pytest.raises(IntegrityError), connection.begin_nested():
        weather_alerts.open_alert(connection, 1, "Frost", "boston", {}, NOON + 5 * HOUR)


def test_the_start_and_the_end_are_pending_once(connection: Connection) -> None:
    def pending() -> list[tuple[str, bool]]:
        return [(one.station_id, one.ended_at is not None) for one in weather_alerts.pending_messages(connection)]

    for station in ("boston", "denver", "miami"):
        weather_alerts.open_alert(connection, 1, "Frost", station, {}, NOON)
    alerts = {alert.station_id: alert for alert in weather_alerts.open_alerts(connection).values()}
    assert pending() == [("boston", False), ("denver", False), ("miami", False)]
    weather_alerts.mark_sent(connection, [alerts["boston"], alerts["miami"]], NOON)
    assert pending() == [("denver", False)]
    for station, reason in (("boston", EndReason.CLEARED), ("denver", EndReason.CLEARED), ("miami", EndReason.DELETED)):
        weather_alerts.end(connection, alerts[station].id, reason, NOON + HOUR)
    assert pending() == [("boston", True), ("denver", True)]  # a user ended that in Miami
    weather_alerts.mark_sent(connection, weather_alerts.pending_messages(connection), NOON)
    assert pending() == []


def test_an_alert_is_deleted_after_its_retention_unless_it_is_open(connection: Connection) -> None:
    first_day = NOON - 2 * weather_alerts.RETENTION
    for station, hours_ago in (("boston", 1), ("denver", -1), ("miami", None)):
        weather_alerts.open_alert(connection, 1, "Frost", station, {}, first_day)
        if hours_ago is not None:
            alert = weather_alerts.open_alerts(connection)[1, station]
            end = NOON - weather_alerts.RETENTION - hours_ago * HOUR
            weather_alerts.end(connection, alert.id, EndReason.CLEARED, end)
    assert weather_alerts.thin(connection, NOON) == 1
    assert {alert.station_id for alert in weather_alerts.list_alerts(connection, 10)} == {"denver", "miami"}


def test_a_forecast_has_the_values_of_its_own_observation(connection: Connection) -> None:
    observations.save(connection, [an_observation("boston", NOON, pressure=None, temperature=1.5)], NOON)
    observations.save(connection, [an_observation("boston", NOON + HOUR)], NOON)
    stations = (("boston", NOON - HOUR), ("boston", NOON), ("denver", NOON))
    predictions.save(connection, [a_prediction(station, time) for station, time in stations], NOON)
    boston, denver = latest_inputs(connection)
    assert (boston.station_id, boston.timestamp, boston.temperature, boston.pressure) == ("boston", NOON, 1.5, None)
    assert (denver.station_id, denver.timestamp, denver.temperature) == ("denver", NOON, None)


def test_the_first_forecast_of_each_hour_is_read_in_order(connection: Connection) -> None:
    minutes = (-20, 5, 10, 44, 45, 59, 105, 110)  # from 12:15 on, so that an hour ends after 45 minutes
    times = [NOON + timedelta(minutes=minute) for minute in minutes]
    predictions.save(connection, [a_prediction("boston", time) for time in reversed(times)], NOON)
    predictions.save(connection, [a_prediction("denver", NOON)], NOON)
    observations.save(connection, [an_observation("boston", times[1], temperature=2.5)], NOON)
    rows = list(first_of_each_hour(connection, "boston", NOON, times[-1]))
    assert [(row.timestamp, row.temperature) for row in rows] == [
        (times[1], 2.5),
        (times[4], None),
        (times[6], None),
    ]

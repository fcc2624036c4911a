"""Back-tests against cases with known results, and against an independent count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import Engine

from tests.weatherglass.store.samples import an_observation
from tests.weatherglass.weather_alerts.rules import a_forecast, a_normal_prediction, a_rule, dip, valid_time
from weatherglass.records import LEADS
from weatherglass.stations import bundled_stations
from weatherglass.store import observations, predictions
from weatherglass.verification.weather_alert_backtest import Case, backtest, replay
from weatherglass.weather_alerts.outlook import StationForecast
from weatherglass.weather_alerts.rule import ForecastRule

STATION = bundled_stations()["new-york"]
NOON = datetime.fromisoformat("2026-01-05T12:00:00Z")
HOUR = timedelta(hours=1)
FAR = NOON + timedelta(days=30)


def forecasts(temperatures: Sequence[float], lead: int = 3) -> list[StationForecast]:
    """Hourly forecasts with this temperature at a lead, 15 °C otherwise, and a deviation of 1 °C."""
    return [
        a_forecast({"temperature": dip(lead, temperature, 15.0)}, timestamp=NOON + number * HOUR)
        for number, temperature in enumerate(temperatures)
    ]


def cases(rule: ForecastRule, issued: list[StationForecast], frost: Sequence[int], now: datetime = FAR) -> list[Case]:
    """Cases with frost in some hours, counted from noon, and 5 °C in all others."""
    cold = {NOON + hour * HOUR for hour in frost}
    return list(replay(rule, issued, lambda hour: -1.0 if hour in cold else 5.0, now))


def test_forecasts_are_replayed_with_hysteresis_and_compared_with_the_lead_window() -> None:
    rule = a_rule(probability=0.7, end_probability=0.3, last_lead=6)
    # The probabilities of frost are 0.31, 0.73, 0.31, 0.27.
    found = cases(rule, forecasts([0.5, -0.6, 0.5, 0.6]), frost=[7, 9])
    assert [case.is_open for case in found] == [False, True, True, False]
    assert [case.occurred for case in found] == [False, True, True, True]
    assert [case.first_met and (case.first_met - NOON) // HOUR for case in found] == [None, 7, 7, 7]
    assert found[1].probability == pytest.approx(0.726, abs=1e-3)


def test_what_is_still_to_come_or_was_not_observed_is_not_known() -> None:
    rule = a_rule(last_lead=6)
    issued = forecasts([-5, -5])
    assert [case.occurred for case in cases(rule, issued, [], now=NOON + 6 * HOUR)] == [False, None]
    assert [case.occurred for case in cases(rule, issued, [4], now=NOON + 5 * HOUR)] == [True, True]
    for observed_hours, expected in ((3, False), (2, None)):
        known = {NOON + hour * HOUR for hour in range(1, observed_hours + 1)}
        (case,) = replay(rule, issued[:1], lambda hour, known=known: 5.0 if hour in known else None, FAR)
        assert case.occurred is expected


def test_a_change_refers_to_the_observation_of_each_forecast() -> None:
    rule = a_rule(variable="pressure", condition="fall", threshold=5, unit="hPa", last_lead=6)
    issued = [
        a_forecast({"pressure": [1000.0] * 24}, timestamp=NOON, observed={"pressure": reference})
        for reference in (1008.0, 1004.0)
    ]
    found = list(replay(rule, issued, lambda hour: 1001.0, FAR))
    assert [case.occurred for case in found] == [True, False]
    assert found[0].probability == pytest.approx(0.9987, abs=1e-3)


def test_without_a_forecast_an_alert_stays_open_until_its_hours_have_passed() -> None:
    rule = a_rule(variable="pressure", condition="fall", threshold=5, unit="hPa", last_lead=2)
    unknown: dict[str, float | None] = {"pressure": None}
    issued = [a_forecast({"pressure": [1000.0] * 24}, timestamp=NOON)]
    issued += [a_forecast({}, timestamp=NOON + number * HOUR, observed=unknown) for number in (1, 2)]
    assert [case.is_open for case in cases(rule, issued, [])] == [True, True, False]


def test_the_result_of_stored_forecasts_is_that_of_an_independent_count(store: Engine) -> None:
    """Two weeks of random forecasts and observations."""
    rng = np.random.default_rng(3)
    rule = a_rule(probability=0.5, end_probability=0.5 - 1e-9, last_lead=3)
    hours = 14 * 24
    truth = np.repeat(rng.normal(1.0, 2.0, hours // 6 + 8), 6)
    shown = rng.normal(2.5, 1.5, hours)
    with store.begin() as connection:
        for number in range(hours + 4):
            time = NOON + number * HOUR
            for minutes in (-10, 0):
                reading = an_observation("new-york", time + timedelta(minutes=minutes), temperature=truth[number])
                observations.save(connection, [reading], time)
        for number, value in enumerate(shown):
            for minutes, temperature in ((0, value), (30, -20.0)):  # only the first of an hour is replayed
                timestamp = NOON + number * HOUR + timedelta(minutes=minutes)
                forecast = a_normal_prediction({"temperature": [temperature] * 24}, 1.0, "new-york", timestamp)
                predictions.save(connection, [forecast], timestamp)
        other = a_normal_prediction({"temperature": [-20.0] * 24}, 1.0, "boston", NOON)
        predictions.save(connection, [other], NOON)
        result = backtest(connection, rule, [STATION], NOON, NOON + (hours + 4) * HOUR)
    is_open = shown <= 0
    occurred = np.array([(truth[number + 1 : number + 4] < 0).any() for number in range(hours)])

    def runs(flags: np.ndarray) -> list[range]:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
        return [range(begin, end) for begin, end in zip(edges[::2], edges[1::2], strict=True)]

    alerts, events = runs(is_open), runs(occurred)
    assert (result.forecasts, result.not_evaluated) == (hours, 0)
    assert [alert.since for alert in result.alerts] == [NOON + run.start * HOUR for run in alerts]
    assert [alert.until for alert in result.alerts] == [NOON + (run.stop - 1) * HOUR for run in alerts]
    assert [alert.was_right for alert in result.alerts] == [bool(occurred[list(run)].any()) for run in alerts]
    assert result.occurrences == len(events)
    assert result.missed == sum(not is_open[list(run)].any() for run in events)
    assert {True, False} == {alert.was_right for alert in result.alerts}
    assert 0 < result.missed < result.occurrences


def test_the_first_hour_in_which_the_condition_was_observed_is_that_of_the_alert(store: Engine) -> None:
    readings = {hour: -2.0 if hour in (5, 6) else 4.0 for hour in range(30)}
    with store.begin() as connection:
        for hour, value in readings.items():
            observations.save(connection, [an_observation("new-york", NOON + hour * HOUR, temperature=value)], NOON)
        for number in range(3):
            series = {"temperature": dip(LEADS[5], -4.0 - number, 15.0)}
            forecast = a_normal_prediction(series, 1.0, "new-york", NOON + number * HOUR)
            predictions.save(connection, [forecast], NOON)
        (alert,) = backtest(connection, a_rule(), [STATION], NOON, NOON + 30 * HOUR).alerts
    assert (alert.since, alert.until, alert.was_right) == (NOON, NOON + 2 * HOUR, True)
    assert alert.first_met == valid_time(5, NOON)
    assert alert.probability > 0.9999


def test_an_alert_whose_hours_are_still_to_come_is_not_wrong(store: Engine) -> None:
    """At the end, all six hours of the first forecast have been observed, but not those of the second."""
    with store.begin() as connection:
        readings = [an_observation("new-york", NOON + hour * HOUR, temperature=5.0) for hour in range(9)]
        observations.save(connection, readings, NOON)
        series = {"temperature": [-5.0] * 24}
        issued = [a_normal_prediction(series, 1.0, "new-york", NOON + number * HOUR) for number in range(2)]
        predictions.save(connection, issued, NOON)
        results = []
        for hours in (6, 7):
            (alert,) = backtest(connection, a_rule(last_lead=6), [STATION], NOON, NOON + hours * HOUR).alerts
            results.append(alert.was_right)
    assert results == [None, False]

from __future__ import annotations

from datetime import timedelta
from statistics import NormalDist
from typing import Any

import pytest

from tests.weatherglass.store.samples import NOON
from tests.weatherglass.weather_alerts.rules import a_forecast, a_rule, dip, valid_time
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.records import LEADS, iso
from weatherglass.weather_alerts.outlook import NotEvaluated, Outlook, continues, outlook


def found(*arguments: Any) -> Outlook:
    result = outlook(*arguments)
    assert isinstance(result, Outlook)
    return result


def test_the_probability_is_that_of_the_most_probable_hour() -> None:
    temperatures = [4 - abs(lead - 9) * 0.5 if lead != 11 else -0.7 for lead in LEADS]
    forecast = a_forecast({"temperature": temperatures}, deviation=2.0)
    result = found(a_rule(), forecast, NOON)
    chances = {lead: NormalDist(temperatures[lead - 1], 2.0).cdf(0) for lead in LEADS}
    lead = max(chances, key=lambda one: chances[one])
    assert result.probability == pytest.approx(chances[lead], abs=1e-6)
    assert result.peak.valid_time == valid_time(lead)
    assert result.peak.value == temperatures[lead - 1]
    assert result.until == valid_time(24)
    first = next(one for one in LEADS if chances[one] >= 0.5)
    assert result.first_time == valid_time(first)


@pytest.mark.parametrize(
    ("condition", "variable", "value", "threshold", "unit"),
    [
        ("below", "temperature", 1.0, 32, "°F"),
        ("above", "temperature", 29.0, 30, "°C"),
        ("above", "wind_speed", 16.0, 34, "kt"),
        ("fall", "pressure", 1009.0, 5, "hPa"),
        ("rise", "pressure", 1017.0, 5, "hPa"),
    ],
)
def test_each_condition_compares_with_the_threshold_in_its_unit(
    condition: str, variable: str, value: float, threshold: float, unit: str
) -> None:
    usual = {"temperature": 15.0, "wind_speed": 9.0, "pressure": 1013.0}[variable]
    forecast = a_forecast({variable: dip(7, value, usual)}, deviation=1.5)
    rule = a_rule(variable=variable, condition=condition, threshold=threshold, unit=unit, probability=0.9)
    result = found(rule, forecast, NOON)
    limit = {32: 0.0, 30: 30.0, 34: 17.491, 5: 1008.0 if condition == "fall" else 1018.0}[threshold]
    below = NormalDist(value, 1.5).cdf(limit)
    expected = below if condition in ("below", "fall") else 1 - below
    assert (result.peak.valid_time, result.first_time) == (valid_time(7), None)
    assert result.probability == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("variable", "condition", "value", "threshold", "unit"),
    [("humidity", "above", 96.0, 99, "%"), ("wind_speed", "below", 2.0, 1, "m/s")],
)
def test_an_interval_that_is_cut_off_at_a_limit_does_not_change_the_probability(
    variable: str, condition: str, value: float, threshold: float, unit: str
) -> None:
    forecast = a_forecast({variable: dip(7, value, 50.0)}, deviation=5.0)
    for document in (forecast.confidence, *forecast.confidence["others"]):
        for side in ("lower", "upper"):
            bounds = document[side][variable]
            bounds[:] = [min(max(bound, 0.0), RANGE_LIMITS[variable].high) for bound in bounds]
    result = found(a_rule(variable=variable, condition=condition, threshold=threshold, unit=unit), forecast, NOON)
    below = NormalDist(value, 5.0).cdf(threshold)
    assert result.probability == pytest.approx(below if condition == "below" else 1 - below, abs=1e-4)
    beyond = {"humidity": 100, "wind_speed": 0}[variable]
    rule = a_rule(variable=variable, condition=condition, threshold=beyond, unit=unit)
    assert found(rule, forecast, NOON).probability == 0


def test_only_hours_of_the_lead_window_that_are_to_come_count() -> None:
    forecast = a_forecast({"temperature": dip(6, -5.0, 10.0)})
    assert found(a_rule(), forecast, NOON).probability > 0.99
    for window in ({"first_lead": 7}, {"last_lead": 5}):
        assert found(a_rule(**window), forecast, NOON).probability < 0.01
    assert found(a_rule(first_lead=6, last_lead=6), forecast, NOON).until == valid_time(6)
    assert found(a_rule(), forecast, valid_time(6) - timedelta(seconds=1)).probability > 0.99
    assert found(a_rule(), forecast, valid_time(6)).probability < 0.01
    assert outlook(a_rule(last_lead=6), forecast, valid_time(6)) is NotEvaluated.NO_FORECAST
    assert outlook(a_rule(), forecast, valid_time(24)) is NotEvaluated.NO_FORECAST


def test_a_forecast_from_an_older_hour_has_greater_leads() -> None:
    """A forecast with the last 22 leads only: its base hour is two hours earlier."""
    forecast = a_forecast({"temperature": dip(3, -5.0, 10.0)})

    def shortened(document: dict[str, Any]) -> dict[str, Any]:
        return {
            name: shortened(value) if isinstance(value, dict) else value[2:] if isinstance(value, list) else value
            for name, value in document.items()
            if name != "others"
        }

    short = a_forecast({}, predictions=shortened(forecast.predictions), confidence=shortened(forecast.confidence))
    assert found(a_rule(first_lead=3, last_lead=3), short, NOON).probability > 0.99
    assert found(a_rule(first_lead=4), short, NOON).probability < 0.01


@pytest.mark.parametrize("fields", [{"is_anomaly": True}, {"observed": {"pressure": None}}, {"observed": {}}])
def test_a_change_needs_an_observation_that_is_not_flagged(fields: dict[str, Any]) -> None:
    rule = a_rule(variable="pressure", condition="fall", threshold=3, unit="hPa")
    assert outlook(rule, a_forecast({}, **fields), NOON) is NotEvaluated.NO_OBSERVATION
    assert isinstance(outlook(a_rule(), a_forecast({}, **fields), NOON), Outlook)


@pytest.mark.parametrize("document", [None, 7, [], {}, {"valid_times": []}, {"valid_times": ["x"]}])
def test_a_forecast_that_cannot_be_read_is_not_evaluated(document: Any) -> None:
    assert outlook(a_rule(), a_forecast({}, predictions=document), NOON) is NotEvaluated.UNREADABLE
    if document != {"valid_times": []}:
        assert outlook(a_rule(), a_forecast({}, confidence=document), NOON) is NotEvaluated.UNREADABLE


def test_infinite_bounds_give_no_probability() -> None:
    forecast = a_forecast({})
    forecast.confidence["lower"]["temperature"][3] = float("-inf")
    forecast.confidence["upper"]["temperature"][3] = float("nan")
    assert outlook(a_rule(), forecast, NOON) is NotEvaluated.UNREADABLE


def test_details_are_in_the_unit_of_the_rule() -> None:
    rule = a_rule(threshold=32, unit="F")
    forecast = a_forecast({"temperature": dip(6, -5.0, 10.0)}, source="replay")
    details = found(rule, forecast, NOON).details(rule, forecast)
    assert (details["value"], details["unit"], details["threshold"]) == (pytest.approx(23.0), "°F", 32)
    assert details["lower"] == pytest.approx(23 - 1.645 * 1.8, abs=0.01)
    assert (details["valid_time"], details["first_time"]) == (iso(valid_time(6)), iso(valid_time(6)))
    assert (details["source"], details["interval_level"], "observed" in details) == ("replay", 0.9, False)


def test_between_the_two_probabilities_the_state_does_not_change() -> None:
    rule = a_rule(probability=0.6, end_probability=0.4)
    is_open, states = False, []
    for probability in (0.5, 0.59, 0.6, 0.5, 0.4, 0.39, 0.5, 0.7):
        is_open = continues(rule, is_open, probability)
        states.append(is_open)
    assert states == [False, False, True, True, True, False, False, True]

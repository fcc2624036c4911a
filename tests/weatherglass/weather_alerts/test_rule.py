from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from tests.weatherglass.weather_alerts.rules import FAULT, FROST, a_rule
from weatherglass.weather_alerts.rule import QuietHours, parse_rule


@pytest.mark.parametrize(
    ("variable", "threshold", "unit", "expected"),
    [
        ("temperature", 32, "°F", 0.0),
        ("temperature", 273.15, "K", 0.0),
        ("wind_speed", 34, "kt", 34 * 1852 / 3600),
        ("wind_speed", 62, "km/h", 62 / 3.6),
        ("pressure", 29.92, "inHg", 1013.2),
        ("humidity", 90, "%", 90.0),
    ],
)
def test_the_threshold_is_converted(variable: str, threshold: float, unit: str, expected: float) -> None:
    rule = a_rule(variable=variable, threshold=threshold, unit=unit, condition="above")
    assert rule.limit(None) == pytest.approx(expected, abs=0.02)
    assert rule.in_rule_unit(rule.limit(None)) == pytest.approx(threshold)
    assert (rule.is_met(expected + 1, None), rule.is_met(expected - 1, None)) == (True, False)


def test_a_change_has_no_zero_point() -> None:
    fall = a_rule(condition="fall", threshold=9, unit="°F")
    assert fall.limit(20.0) == pytest.approx(15.0)
    assert (fall.is_met(14.9, 20.0), fall.is_met(15.1, 20.0)) == (True, False)
    rise = a_rule(variable="pressure", condition="rise", threshold=0.6, unit="kPa")
    assert rise.limit(1000.0) == pytest.approx(1006.0)
    assert (rise.is_met(1006.1, 1000.0), rise.is_met(1005.9, 1000.0)) == (True, False)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"variable": "rain"}, "literal_error"),
        ({"variable": "wind_direction"}, "literal_error"),
        ({"unit": "hPa"}, "unit"),
        ({"unit": ""}, "unit"),
        ({"unit": "degrees"}, "unit"),
        ({"threshold": -96}, "threshold"),
        ({"threshold": 70, "unit": "°C", "condition": "above"}, "threshold"),
        ({"variable": "humidity", "unit": "%", "threshold": 101}, "threshold"),
        ({"condition": "fall", "threshold": 0}, "threshold"),
        ({"condition": "fall", "threshold": -3}, "threshold"),
        ({"condition": "fall", "threshold": 200}, "threshold"),
        ({"threshold": float("nan")}, "finite_number"),
        ({"first_lead": 6, "last_lead": 5}, "lead_window"),
        ({"last_lead": 25}, "less_than_equal"),
        ({"probability": 0.5, "end_probability": 0.5}, "end_probability"),
        ({"probability": 1}, "less_than_equal"),
        ({"stations": []}, "too_short"),
        ({"stations": ["../etc"]}, "string_pattern_mismatch"),
        ({"name": "two\nlines"}, "string_pattern_mismatch"),
        ({"colour": "red"}, "extra_forbidden"),
        ({"quiet_hours": {"start": "22:00", "end": "22:00", "time_zone": "UTC"}}, "quiet_hours"),
        ({"quiet_hours": {"start": "22:00", "end": "24:00", "time_zone": "UTC"}}, "string_pattern_mismatch"),
        ({"quiet_hours": {"start": "22:00", "end": "06:00", "time_zone": "Mars/Olympus"}}, "time_zone"),
        ({"quiet_hours": {"start": "22:00", "end": "06:00"}}, "missing"),
    ],
)
def test_what_is_not_certain_or_not_possible_is_refused(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as raised:
        parse_rule(FROST | fields)
    assert [error["type"] for error in raised.value.errors()] == [code]


def test_a_rule_without_a_unit_or_with_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValidationError):
        parse_rule({name: value for name, value in FROST.items() if name != "unit"})
    with pytest.raises(ValidationError):
        parse_rule(FROST | {"kind": "rain"})


@pytest.mark.parametrize("definition", [FROST, FAULT, FROST | {"stations": None, "end_probability": 0.1}])
def test_a_stored_rule_is_read_again(definition: dict[str, Any]) -> None:
    rule = parse_rule(definition)
    assert parse_rule(rule.model_dump(mode="json")) == rule


def test_by_default_the_alert_ends_at_a_lower_probability() -> None:
    assert a_rule(probability=0.5).ends_below == pytest.approx(0.3)
    assert a_rule(probability=0.5, end_probability=0.4).ends_below == 0.4


@pytest.mark.parametrize(("start", "end"), [("22:00", "06:00"), ("01:30", "02:45"), ("12:00", "11:59")])
def test_quiet_hours_are_those_of_the_time_zone_also_when_its_clock_changes(start: str, end: str) -> None:
    quiet = QuietHours(start=start, end=end, time_zone="America/New_York")
    now = datetime(2026, 3, 7, tzinfo=UTC)  # the clock is moved forward on 8 March
    minutes = [int(text[:2]) * 60 + int(text[3:]) for text in (start, end)]
    while now < datetime(2026, 3, 10, tzinfo=UTC):
        local = now.astimezone(ZoneInfo("America/New_York"))
        minute = local.hour * 60 + local.minute
        since_start, length = (minute - minutes[0]) % 1440, (minutes[1] - minutes[0]) % 1440
        assert quiet.include(now) == (since_start < length)
        now += timedelta(minutes=15)

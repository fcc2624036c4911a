"""Requests of consumer stations, converted to records: units by name, and every kind of value that cannot be used."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.console_protocols import (
    MAX_FIELDS,
    RELATIVE_PRESSURE,
    STATION_PRESSURE,
    RefusedRequest,
    parse_form,
    read_reading,
    required,
)
from weatherglass.records import Observation
from weatherglass.station_table import Station

NOW = datetime(2026, 1, 5, 12, 15, 30, 250_000, tzinfo=UTC)
GARDEN = Station("garden", "Garden", "", 59.91, 10.75, 120.0, "UTC", frozenset())
WITHOUT_ELEVATION = Station("roof", "Roof", "", 59.91, 10.75, None, "UTC", frozenset())

WEATHER_UNDERGROUND = (
    "ID=garden&PASSWORD=secret&tempf=37.8&humidity=81&dewptf=32.3&windchillf=37.8&winddir=220&windspeedmph=9.2"
    "&windgustmph=11.41&rainin=0.000&dailyrainin=0.000&solarradiation=732.04&UV=6&indoortempf=79.34&indoorhumidity=55"
    "&baromin=29.92&lowbatt=0&dateutc=now&softwaretype=OBSERVERIP2_V2.2.3&action=updateraw&realtime=1&rtfreq=5"
)
"""Constructed with the fields of a recorded request (bachya/ecowitt2mqtt, issue 648)."""
ECOWITT = (
    "PASSKEY=3BB6B2D81F4A9C1D5E0F7A6B8C9D0E1F&stationtype=GW1100B_V2.3.2&runtime=100570&heap=23984"
    "&dateutc=2026-01-05+12:15:00&tempinf=78.08&humidityin=59&baromrelin=29.958&baromabsin=29.54&tempf=37.80&humidity=81"
    "&vpd=0.05&winddir=220&windspeedmph=9.17&windgustmph=11.41&maxdailygust=14.99&solarradiation=0.00&uv=0"
    "&rrain_piezo=0.000&wh65batt=0&freq=868M&model=GW1100B&interval=60"
)
"""Constructed with the fields of a recorded request (aioecowitt, and a published receiver of a GW1100)."""


def form(**fields: str) -> dict[str, list[str]]:
    return {name: [value] for name, value in {"dateutc": "2026-01-05 12:15:00", **fields}.items()}


def test_a_request_of_weather_underground_is_converted() -> None:
    reading = read_reading(parse_form(WEATHER_UNDERGROUND), GARDEN, NOW)
    assert reading.record == {
        "station_id": "garden",
        "timestamp": "2026-01-05T12:15:30Z",
        "temperature": pytest.approx(3.22, abs=0.01),
        "humidity": 81,
        "pressure": pytest.approx(998.9, abs=0.1),  # the standard atmosphere at 120 m, for 1013.2 hPa at sea level
        "wind_speed": pytest.approx(4.11, abs=0.01),
        "wind_gust": pytest.approx(5.10, abs=0.01),
        "wind_direction": 220,
    }
    assert reading.unused == {}


def test_a_request_of_ecowitt_is_converted_and_the_absolute_pressure_is_used() -> None:
    for station in (GARDEN, WITHOUT_ELEVATION):
        reading = read_reading(parse_form(ECOWITT), station, NOW)
        assert reading.record["timestamp"] == "2026-01-05T12:15:00Z"
        assert reading.record["temperature"] == pytest.approx((37.8 - 32) / 1.8, abs=0.01)
        assert reading.record["pressure"] == pytest.approx(29.54 * 33.8639, abs=0.05)
        assert reading.record["wind_speed"] == pytest.approx(9.17 * 1609.344 / 3600, abs=0.01)
        assert reading.unused == {}


@given(fahrenheit=st.floats(-40, 120), humidity=st.integers(0, 100), mph=st.floats(0, 150), degrees=st.integers(0, 360))
def test_values_are_converted_by_the_definitions_of_their_units(
    fahrenheit: float, humidity: int, mph: float, degrees: int
) -> None:
    fields = {"tempf": fahrenheit, "humidity": humidity, "windspeedmph": mph, "windgustmph": mph, "winddir": degrees}
    reading = read_reading(parse_form(urlencode({"dateutc": "now", **fields_text(fields)})), WITHOUT_ELEVATION, NOW)
    assert reading.unused == {}
    assert reading.record["temperature"] == pytest.approx((fahrenheit - 32) * 5 / 9, abs=0.006)
    assert reading.record["wind_speed"] == reading.record["wind_gust"] == pytest.approx(mph * 0.44704, abs=0.006)
    assert (reading.record["humidity"], reading.record["wind_direction"]) == (humidity, degrees)
    Observation.model_validate(reading.record, strict=True)


def fields_text(fields: dict[str, float]) -> dict[str, str]:
    return {name: f"{value:.4f}" if isinstance(value, float) else str(value) for name, value in fields.items()}


@pytest.mark.parametrize(
    ("name", "value", "target"),
    [
        ("tempf", "-9999", "temperature"),
        ("tempf", "451", "temperature"),
        ("tempf", "37,8", "temperature"),
        ("tempf", "37.8F", "temperature"),
        ("tempf", "nan", "temperature"),
        ("tempf", "1e2", "temperature"),
        ("tempf", "٣٧", "temperature"),
        ("humidity", "-9999", "humidity"),
        ("humidity", "106", "humidity"),
        ("windspeedmph", "-1", "wind_speed"),
        ("windspeedmph", "200", "wind_speed"),
        ("windgustmph", "--", "wind_gust"),
        ("winddir", "361", "wind_direction"),
        ("winddir", "SW", "wind_direction"),
        ("absbaromin", "1003.1", "pressure"),
        ("baromabsin", "-9999", "pressure"),
        ("baromin", "1013.2", "pressure"),
        ("baromrelin", "0.00", "pressure"),
    ],
)
def test_an_impossible_value_is_null_and_named_and_does_not_affect_the_others(
    name: str, value: str, target: str
) -> None:
    fields = {"tempf": "50", "humidity": "50", "windspeedmph": "5", "windgustmph": "5", "winddir": "50", name: value}
    reading = read_reading(form(**fields), GARDEN, NOW)
    assert reading.record[target] is None
    assert reading.unused.keys() == {name}
    usable = {"temperature", "humidity", "wind_speed", "wind_gust", "wind_direction"} - {target}
    assert {other for other in usable if reading.record[other] is None} == set()


@pytest.mark.parametrize("name", ["tempf", "humidity", "windspeedmph", "winddir", "baromin"])
def test_a_missing_or_empty_field_is_null_without_a_report(name: str) -> None:
    for fields in ({}, {name: ""}, {name: " "}):
        reading = read_reading(parse_form(urlencode({"dateutc": "now", **fields})), GARDEN, NOW)
        assert [value for key, value in reading.record.items() if key not in ("station_id", "timestamp")] == [None] * 6
        assert reading.unused == {}


def test_a_repeated_field_is_ambiguous() -> None:
    reading = read_reading(parse_form("dateutc=now&tempf=50&tempf=60&humidity=50"), GARDEN, NOW)
    assert (reading.record["temperature"], reading.record["humidity"]) == (None, 50)
    assert reading.unused.keys() == {"tempf"}


@pytest.mark.parametrize("name", RELATIVE_PRESSURE)
def test_a_relative_pressure_needs_the_elevation(name: str) -> None:
    reading = read_reading(form(**{name: "29.92"}), WITHOUT_ELEVATION, NOW)
    assert reading.record["pressure"] is None
    assert reading.unused.keys() == {name}
    sea = Station("sea", "Sea", "", 59.91, 10.75, 0.0, "UTC", frozenset())
    assert read_reading(form(**{name: "29.92"}), sea, NOW).record["pressure"] == pytest.approx(1013.2, abs=0.1)


@pytest.mark.parametrize("name", STATION_PRESSURE)
def test_an_unusable_absolute_pressure_is_replaced_by_the_relative_one(name: str) -> None:
    reading = read_reading(form(**{name: "-9999", "baromin": "29.92"}), GARDEN, NOW)
    assert reading.record["pressure"] == pytest.approx(998.9, abs=0.1)
    assert reading.unused.keys() == {name}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-01-05T12:15:30Z"),
        ("2026-01-05 12:15:00", "2026-01-05T12:15:00Z"),
        ("2026-1-5 2:5:0", "2026-01-05T02:05:00Z"),
        ("2026-01-05T12:15:00", "2026-01-05T12:15:00Z"),
    ],
)
def test_times_are_in_utc(text: str, expected: str) -> None:
    assert read_reading(form(dateutc=text), GARDEN, NOW).record["timestamp"] == expected


@pytest.mark.parametrize(
    "text",
    ["", "Now", "yesterday", "05.01.2026 12:15", "2026-13-05 12:15:00", "2026-01-05", "1767615300", "0-0-0 0:0:0"],
)
def test_a_request_without_a_certain_time_is_refused(text: str) -> None:
    with pytest.raises(RefusedRequest, match="dateutc"):
        read_reading(form(dateutc=text), GARDEN, NOW)
    with pytest.raises(RefusedRequest, match="dateutc"):
        read_reading({}, GARDEN, NOW)
    with pytest.raises(RefusedRequest, match="dateutc"):
        read_reading({"dateutc": ["now", "now"]}, GARDEN, NOW)


def test_another_action_is_refused() -> None:
    assert read_reading(form(action="updateraw", tempf="50"), GARDEN, NOW).record["temperature"] == 10
    for actions in (["delete"], [""], ["updateraw", "delete"]):
        with pytest.raises(RefusedRequest, match="action"):
            read_reading({**form(tempf="50"), "action": actions}, GARDEN, NOW)


def test_a_required_field_must_be_there_once() -> None:
    assert required(parse_form("ID=+garden+"), "ID") == "garden"
    for text in ("", "ID=", "ID=a&ID=b", "id=a", "ID"):
        with pytest.raises(RefusedRequest, match="ID"):
            required(parse_form(text), "ID")


def test_the_number_of_fields_is_limited() -> None:
    assert len(parse_form("&".join(f"f{number}=1" for number in range(MAX_FIELDS)))) == MAX_FIELDS
    with pytest.raises(RefusedRequest):
        parse_form("&".join(f"f{number}=1" for number in range(MAX_FIELDS + 1)))

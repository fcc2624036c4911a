"""Responses with faults: what is certain becomes observations, everything else is refused and named."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from producer.api_response import ApiError, ApiRefusalCode, ParsedResponse
from producer.open_meteo_schema import API_NAMES, API_UNITS, parse_response
from tests.producer.conftest import VALUES, location, three_locations
from weatherglass.records import Observation
from weatherglass.stations import bundled_stations

STATIONS = tuple(bundled_stations()[name] for name in ("denver", "boston", "miami"))
VARIABLE = {api_name: name for name, api_name in API_NAMES.items()}
TIME = datetime(2026, 9, 25, 23, tzinfo=UTC)


def parse(content: Any, *sections: str) -> ParsedResponse:
    """Parse a response for as many of the stations as it has locations."""
    count = len(content) if isinstance(content, list) else 1
    return parse_response(json.dumps(content).encode(), STATIONS[:count], sections or ("current",))


def values(observation: Observation | None) -> dict[str, float | None]:
    assert observation is not None
    return {api_name: getattr(observation, name) for api_name, name in VARIABLE.items()}


def refused(response: ParsedResponse) -> list[tuple[str, str, ApiRefusalCode, int]]:
    return [(r.station_id, r.field, r.code, r.count) for r in response.refusals]


def test_a_nan_beside_valid_data_does_not_discard_it() -> None:
    """The body of open-meteo/open-meteo, issue 2108, with our variables; and nulls of issues 314 and 1590."""
    body = json.dumps(three_locations()).replace('"latitude": 39.746895', '"latitude":-nan', 1)
    body = body.replace('"longitude": -104.987076', '"longitude":-nan', 1).replace(
        '"elevation": 1599.0', '"elevation":nan'
    )
    body = body.replace('"wind_speed_10m": 3.74', '"wind_speed_10m":nan', 1)
    response = parse_response(body.encode(), STATIONS, ["current"])
    assert list(response.stations) == ["denver", "boston", "miami"]
    assert values(response.stations["denver"].current) == VALUES | {"wind_speed_10m": None}
    assert values(response.stations["miami"].current) == VALUES
    assert response.refusals == []


@pytest.mark.parametrize("name", ["latitude", "longitude", "elevation", "generationtime_ms", "timezone_abbreviation"])
def test_a_field_that_is_not_used_may_be_missing_or_of_another_type(name: str) -> None:
    contents = three_locations()
    del contents[0][name]
    contents[1][name] = "unknown"
    contents[2][name] = None
    response = parse(contents)
    assert len(response.stations) == 3
    assert response.refusals == []


@pytest.mark.parametrize(
    ("offset", "zone", "time"),
    [
        (0, "GMT", "2026-09-25T23:00"),
        (0, "Europe/London", "2026-09-25T23:00"),
        (28800, "Asia/Shanghai", "2026-09-26T07:00"),
        (19800, "Asia/Kolkata", "2026-09-26T04:30"),
        (-21600, "America/Denver", "2026-09-25T17:00"),
        (-25200, "America/Denver", "2026-09-25T16:00"),  # the offset of the response applies, not that of the day
        (28800, None, "2026-09-26T07:00"),
        (28800, "Asia/Shanghai", "2026-09-26T07:00:00"),
        (28800, "Asia/Shanghai", "2026-09-26T07:00:00.000"),
        (28800, "Asia/Shanghai", "2026-09-26T07:00+08:00"),
        (0, "GMT", "2026-09-25T23:00Z"),
        (0, "GMT", "2026-09-25T23:00:00+00:00"),
        (None, "GMT", "2026-09-25T23:00"),
    ],
)
def test_a_time_with_a_certain_offset_is_converted_to_utc(offset: int | None, zone: str | None, time: str) -> None:
    content = location(time=time) | {"utc_offset_seconds": offset, "timezone": zone}
    response = parse(content)
    current = response.stations["denver"].current
    assert current is not None
    assert (current.timestamp, current.timestamp.utcoffset()) == (TIME, timedelta())
    assert response.refusals == []


@pytest.mark.parametrize(
    ("offset", "zone"),
    [
        (28800, "GMT"),
        (0, "Asia/Shanghai"),
        (3600, "Asia/Shanghai"),
        (None, None),
        (None, "Asia/Shanghai"),
        ("28800", "Asia/Shanghai"),
        (True, None),
        (28800.5, None),
        (10**9, None),
        (-(10**9), "Mars/Olympus_Mons"),
        (0, 0),
        (0, ["GMT"]),
    ],
)
def test_a_location_without_a_certain_time_zone_is_refused(offset: object, zone: object) -> None:
    contents = three_locations()
    contents[1] |= {"utc_offset_seconds": offset, "timezone": zone}
    response = parse(contents)
    assert set(response.stations) == {"denver", "miami"}
    assert set(response.failures) == {"boston"}
    assert refused(response) == [("boston", "utc_offset_seconds", ApiRefusalCode.TIME_ZONE, 1)]


@pytest.mark.parametrize(
    "time",
    [
        "2026-09-25",
        "2026-09-25T23",
        "20260925T2300",
        "25.09.2026 23:00",
        "2026-09-25T24:30",
        "2026-02-30T12:00",
        "2026-09-25T23:00+08:00",
        "２０２６-09-25T23:00",
        "yesterday",
        "0001-01-01T00:00",
        "9999-12-31T23:59",
        "",
        1790377200,
        None,
        ["2026-09-25T23:00"],
        {},
    ],
)
def test_a_time_whose_meaning_is_not_certain_is_refused(time: object) -> None:
    contents = three_locations()
    contents[1]["current"]["time"] = time
    response = parse(contents)
    assert set(response.failures) == {"boston"}
    assert refused(response) == [("boston", "current.time", ApiRefusalCode.TIME, 1)]


@pytest.mark.parametrize(
    ("time", "offset", "zone"), [("0001-01-01T00:00", 28800, "Asia/Shanghai"), ("9999-12-31T23:59", -36000, None)]
)
def test_a_time_without_a_year_in_utc_is_refused(time: str, offset: int, zone: str | None) -> None:
    response = parse(location(time=time) | {"utc_offset_seconds": offset, "timezone": zone})
    assert refused(response) == [("denver", "current.time", ApiRefusalCode.TIME, 1)]


def test_times_in_unix_seconds_are_refused() -> None:
    content = location(time=1790377200)  # type: ignore[arg-type]
    content["current_units"]["time"] = "unixtime"
    assert refused(parse(content)) == [("denver", "current.time", ApiRefusalCode.TIME_UNIT, 1)]


def without(section: str, name: str) -> dict[str, Any]:
    content = location(1)
    del content[section][name]
    return content


@pytest.mark.parametrize(
    ("boston", "code"),
    [
        (without("current", "wind_speed_10m"), ApiRefusalCode.MISSING_VARIABLE),
        (without("current_units", "wind_speed_10m"), ApiRefusalCode.UNIT),
        (location(1) | {"current_units": {**API_UNITS, "wind_speed_10m": "km/h"}}, ApiRefusalCode.UNIT),
        (location(1) | {"current_units": {**API_UNITS, "wind_speed_10m": ""}}, ApiRefusalCode.UNIT),
        (location(1, wind_speed_10m="3.74"), ApiRefusalCode.NOT_A_NUMBER),
        (location(1, wind_speed_10m=True), ApiRefusalCode.NOT_A_NUMBER),
        (location(1, wind_speed_10m=[3.74]), ApiRefusalCode.NOT_A_NUMBER),
        (location(1, wind_speed_10m=10**400), ApiRefusalCode.NOT_A_NUMBER),
    ],
    ids=["missing", "no unit", "other unit", "empty unit", "text", "boolean", "list", "huge"],
)
def test_a_refused_variable_leaves_the_other_four_and_the_other_stations(
    boston: dict[str, Any], code: ApiRefusalCode
) -> None:
    response = parse([location(0), boston, location(2)])
    assert list(response.stations) == ["denver", "boston", "miami"]
    assert values(response.stations["boston"].current) == VALUES | {"wind_speed_10m": None}
    assert values(response.stations["miami"].current) == VALUES
    assert refused(response) == [("boston", "current.wind_speed_10m", code, 1)]


def test_the_unit_of_a_variable_without_values_does_not_matter() -> None:
    """The API returns the unit `undefined` if a model has no such variable."""
    content = location(wind_speed_10m=None)
    content["current_units"]["wind_speed_10m"] = "undefined"
    assert parse(content).refusals == []


@pytest.mark.parametrize(
    ("boston", "field", "code"),
    [
        (None, "location", ApiRefusalCode.NOT_AN_OBJECT),
        ([], "location", ApiRefusalCode.NOT_AN_OBJECT),
        ({k: v for k, v in location(1).items() if k != "current"}, "current", ApiRefusalCode.MISSING_SECTION),
        (location(1) | {"current": []}, "current", ApiRefusalCode.NOT_AN_OBJECT),
        (without("current", "time"), "current.time", ApiRefusalCode.TIME),
    ],
)
def test_an_unusable_location_leaves_the_others_usable(boston: Any, field: str, code: ApiRefusalCode) -> None:
    response = parse([location(0), boston, location(2)])
    assert set(response.stations) == {"denver", "miami"}
    assert set(response.failures) == {"boston"}
    assert field in response.failures["boston"]
    assert refused(response) == [("boston", field, code, 1)]


def test_a_location_without_any_value_is_a_failure_without_a_refusal() -> None:
    response = parse([location(0), location(1, **dict.fromkeys(VALUES))])
    assert set(response.failures) == {"boston"}
    assert response.refusals == []


def test_locations_are_assigned_by_id_wherever_they_are_in_the_response() -> None:
    contents = [location(number, temperature_2m=number) for number in (2, 0, 1)]
    response = parse(contents)
    temperatures = {name: observed.current.temperature for name, observed in response.stations.items()}  # type: ignore[union-attr]
    assert temperatures == {"denver": 0, "boston": 1, "miami": 2}


def series(**changed: list[Any]) -> dict[str, Any]:
    content = location(past_quarter_hours=3)
    content["minutely_15"] |= changed
    return content


def test_a_list_of_another_length_is_refused_and_the_other_variables_are_kept() -> None:
    response = parse(series(temperature_2m=[1.0, 2.0, 3.0]), "current", "minutely_15")
    quarter_hours = response.stations["denver"].quarter_hours
    assert [observation.temperature for observation in quarter_hours] == [None] * 4
    assert [observation.pressure for observation in quarter_hours] == [VALUES["surface_pressure"]] * 4
    assert refused(response) == [("denver", "minutely_15.temperature_2m", ApiRefusalCode.LENGTH, 4)]


def test_a_refused_value_or_time_of_a_series_leaves_the_others() -> None:
    times = ["2026-09-25T22:15", "22:30", "2026-09-25T22:45", "2026-09-25T23:00"]
    response = parse(series(time=times, temperature_2m=[1.0, 2.0, "3.0", 4.0]), "current", "minutely_15")
    quarter_hours = response.stations["denver"].quarter_hours
    assert [(o.timestamp.minute, o.temperature) for o in quarter_hours] == [(15, 1.0), (45, None), (0, 4.0)]
    assert refused(response) == [
        ("denver", "minutely_15.time", ApiRefusalCode.TIME, 1),
        ("denver", "minutely_15.temperature_2m", ApiRefusalCode.NOT_A_NUMBER, 1),
    ]


def test_a_repeated_time_counts_once_if_its_values_are_equal_and_is_refused_otherwise() -> None:
    times = ["2026-09-25T22:00", "2026-09-25T22:00", "2026-09-25T22:15", "2026-09-25T22:15"]
    response = parse(series(time=times, temperature_2m=[1.0, 1.0, 2.0, 3.0]), "current", "minutely_15")
    quarter_hours = response.stations["denver"].quarter_hours
    assert [(o.timestamp.minute, o.temperature) for o in quarter_hours] == [(0, 1.0)]
    assert refused(response) == [("denver", "minutely_15.time", ApiRefusalCode.REPEATED_TIME, 1)]


def test_series_are_in_order_of_time() -> None:
    times = ["2026-09-25T23:00", "2026-09-25T22:15", "2026-09-25T22:45", "2026-09-25T22:30"]
    quarter_hours = parse(series(time=times), "current", "minutely_15").stations["denver"].quarter_hours
    assert [observation.timestamp.minute for observation in quarter_hours] == [15, 30, 45, 0]


def test_an_hourly_time_that_is_not_a_full_hour_is_refused() -> None:
    content = location(past_hours=3)
    content["hourly"]["time"][1] = "2026-09-25T21:30"
    response = parse(content, "current", "hourly")
    assert [observation.timestamp.hour for observation in response.stations["denver"].hours] == [20, 22, 23]
    assert refused(response) == [("denver", "hourly.time", ApiRefusalCode.TIME, 1)]


# A fault: how it changes the section and its units, the resulting value, and the code of the refusal.
FAULTS: dict[str, tuple[Any, str | None, ApiRefusalCode | None]] = {
    "none": (None, None, None),
    "null": ("null", None, None),
    "missing": ("missing", None, ApiRefusalCode.MISSING_VARIABLE),
    "text": ("12.5", None, ApiRefusalCode.NOT_A_NUMBER),
    "boolean": (False, None, ApiRefusalCode.NOT_A_NUMBER),
    "object": ({}, None, ApiRefusalCode.NOT_A_NUMBER),
    "unit": (None, "°F", ApiRefusalCode.UNIT),
    "no unit": (None, "missing", ApiRefusalCode.UNIT),
}
ZONES = {"GMT": 0, "Asia/Shanghai": 28800, "America/Denver": -21600, "Asia/Kathmandu": 20700}


@given(
    faults=st.lists(
        st.fixed_dictionaries({name: st.sampled_from(sorted(FAULTS)) for name in API_UNITS}), min_size=1, max_size=3
    ),
    zone=st.sampled_from(sorted(ZONES)),
    order=st.randoms(use_true_random=False),
)
@examples(deadline=None)
def test_every_value_without_a_fault_is_kept_and_every_fault_is_named(
    faults: list[dict[str, str]], zone: str, order: random.Random
) -> None:
    contents = []
    expected: dict[str, dict[str, float | None]] = {}
    expected_refusals = set()
    for number, kinds in enumerate(faults):
        truth = {name: number + index / 10 for index, name in enumerate(API_UNITS)}
        local = TIME + timedelta(seconds=ZONES[zone])
        content = location(number, local.strftime("%Y-%m-%dT%H:%M"), **truth)
        content |= {"utc_offset_seconds": ZONES[zone], "timezone": zone, "location_id": number}
        for name, kind in kinds.items():
            value, unit, code = FAULTS[kind]
            if value == "missing":
                del content["current"][name]
            elif value is not None:
                content["current"][name] = None if value == "null" else value
            if unit:
                content["current_units"][name] = unit
            if unit == "missing":
                del content["current_units"][name]
            if code:
                expected_refusals.add((STATIONS[number].station_id, f"current.{name}", code))
        kept = {name: truth[name] if kind == "none" else None for name, kind in kinds.items()}
        if any(value is not None for value in kept.values()):
            expected[STATIONS[number].station_id] = kept
        contents.append(content)
    order.shuffle(contents)
    response = parse(contents)
    assert {name: values(observed.current) for name, observed in response.stations.items()} == expected
    assert all(observed.current.timestamp == TIME for observed in response.stations.values())  # type: ignore[union-attr]
    assert response.failures.keys() == {s.station_id for s in STATIONS[: len(faults)]} - expected.keys()
    assert {(r.station_id, r.field, r.code) for r in response.refusals} == expected_refusals


@given(st.randoms(use_true_random=False), st.integers(1, 8))
@examples(deadline=None, max_examples=400)
def test_a_changed_body_is_an_error_or_gives_each_station_one_result(chance: random.Random, changes: int) -> None:
    body = bytearray(json.dumps([location(n, past_quarter_hours=2) for n in range(3)]).encode())
    pieces = [
        b"null",
        b"nan",
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b"-",
        b"9" * 30,
        b"\xff",
        b"\x00",
        b"1e999",
        b"[" * 5000,
    ]
    for _ in range(changes):
        at = chance.randrange(len(body))
        body[at : at + chance.randrange(30)] = chance.choice(pieces)
    try:
        response = parse_response(bytes(body), STATIONS, ["current", "minutely_15"])
    except ApiError:
        return
    names = {station.station_id for station in STATIONS}
    assert response.stations.keys() | response.failures.keys() == names
    assert not response.stations.keys() & response.failures.keys()
    for name, observed in response.stations.items():
        for observation in (observed.current, *observed.quarter_hours):
            assert observation is None or observation.station_id == name

"""Records, their JSON, and their published schemas."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta, timezone

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from weatherglass.records import RECORDS, Bounds, Interval, Observation, headers, iso, json_schema

numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32)
times = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)
)
observations = st.builds(
    Observation,
    station_id=st.text(min_size=1, max_size=20),
    timestamp=times,
    temperature=numbers,
    humidity=numbers,
    pressure=numbers,
    wind_speed=numbers,
    wind_direction=numbers,
)


@given(observations)
def test_json_of_an_observation_matches_its_schema_and_parses_to_the_same_observation(observation: Observation) -> None:
    value = observation.to_json()
    assert Observation.from_json(value) == observation
    jsonschema.validate(json.loads(value), json_schema("observation"))


@pytest.mark.parametrize("name", RECORDS)
def test_published_schemas_are_valid_json_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(name))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, "warm"])
def test_nan_infinity_and_text_are_rejected_as_numbers(bad: object) -> None:
    with pytest.raises(ValidationError):
        Observation(
            station_id="jfk",
            timestamp=datetime(2026, 1, 5, tzinfo=UTC),
            temperature=bad,  # type: ignore[arg-type]
            humidity=None,
            pressure=None,
            wind_speed=None,
            wind_direction=None,
        )


def test_a_time_without_time_zone_is_rejected() -> None:
    with pytest.raises(ValidationError) as raised:
        Observation.from_json(b'{"station_id": "jfk", "timestamp": "2026-01-05T12:15:00"}')
    assert [(error["type"], error["loc"]) for error in raised.value.errors()] == [("timezone_aware", ("timestamp",))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-05T12:15:00.123999Z", "2026-01-05T12:15:00.123Z"),
        ("2026-01-05T14:15:00.0009999+02:00", "2026-01-05T12:15:00Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999Z"),
    ],
)
def test_an_observation_time_is_truncated_to_milliseconds(text: str, expected: str) -> None:
    observation = Observation.from_json(json.dumps({"station_id": "jfk", "timestamp": text}))
    assert observation.timestamp == datetime.fromisoformat(expected)
    assert iso(observation.timestamp) == expected
    assert Observation(station_id="jfk", timestamp=datetime.fromisoformat(text)) == observation


@pytest.mark.parametrize(
    "text", ["2026-01-05T12:15:00+0000", "2026-01-05T12:15Z", "1767614100", "0001-01-01T00:00:00+01:00"]
)
def test_other_forms_of_a_time_and_the_year_0_are_rejected(text: str) -> None:
    with pytest.raises(ValidationError):
        Observation.from_json(json.dumps({"station_id": "jfk", "timestamp": text}))


@pytest.mark.parametrize(
    "more", ['"station_id": "jfk"', '"extra": {"a": 1, "a": 2}', '"extra": NaN', f'"extra": 1.{"1" * 5000}']
)
def test_a_message_that_only_one_of_the_two_parsers_would_accept_is_rejected(more: str) -> None:
    with pytest.raises(ValidationError):
        Observation.from_json(f'{{"station_id": "jfk", "timestamp": "2026-01-05T12:15:00Z", {more}}}')


@given(times, st.integers(-12, 14))
def test_times_are_written_in_utc(time: datetime, zone: int) -> None:
    elsewhere = time.astimezone(timezone(timedelta(hours=zone)))
    assert iso(elsewhere) == iso(time)
    assert datetime.fromisoformat(iso(time)) == time


@given(observations)
def test_headers_contain_the_schema_and_no_unknown_source(observation: Observation) -> None:
    values = dict(headers(observation, None, observation.timestamp))
    assert values["schema"].startswith(b"observation/")
    assert "source" not in values


@pytest.mark.parametrize(("level", "valid"), [(0.0, False), (0.01, True), (0.99, True), (1.0, False)])
def test_the_level_of_an_interval_is_between_0_and_1(level: float, valid: bool) -> None:
    bounds = Bounds(temperature=[], humidity=[], pressure=[], wind_speed=[])
    with nullcontext() if valid else pytest.raises(ValidationError):
        Interval(level=level, lower=bounds, upper=bounds)

"""Records, their JSON, and their published schemas."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator

from tests.station_ids import ACCEPTED, ONE_CHARACTER, REFUSED
from tests.weatherglass.store.samples import NOON, a_guidance, a_prediction, a_window, an_observation
from weatherglass.record_schemas import RECORDS, json_schema
from weatherglass.records import (
    EARLIEST,
    LATEST,
    VARIABLES,
    Bounds,
    Flag,
    Hour,
    Interval,
    Observation,
    Record,
    StationId,
    iso,
)

numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32)
times = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)
)
observations = st.builds(
    Observation,
    station_id=st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="./\\"), min_size=1, max_size=20
    ),
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


def _station_errors(record: Record, station_id: str) -> list[str]:
    """The types of the errors of the record with another station id, as parsed and by the published schema."""
    document = {**json.loads(record.to_json()), "station_id": station_id}
    name = next(name for name, kind in RECORDS.items() if kind is type(record))
    by_schema = [
        str(error.validator) for error in jsonschema.Draft202012Validator(json_schema(name)).iter_errors(document)
    ]
    try:
        assert type(record).from_json(json.dumps(document)).station_id == station_id  # type: ignore[attr-defined]
    except ValidationError as raised:
        return [error["type"] for error in raised.errors() if error["loc"] == ("station_id",)] + by_schema
    return by_schema


def test_every_record_has_the_same_rule_for_station_ids() -> None:
    for record in _samples():
        assert [station_id for station_id in ACCEPTED if _station_errors(record, station_id)] == []
        for station_id in REFUSED:
            assert len(_station_errors(record, station_id)) == 2  # from the parser and the schema


def test_a_station_id_of_one_character_is_not_a_dot_slash_or_control_character() -> None:
    validator = SchemaValidator(TypeAdapter(StationId).core_schema)
    refused = {character for character in ONE_CHARACTER if not validator.isinstance_python(character)}
    assert refused == {".", "/", "\\", *(c for c in ONE_CHARACTER if unicodedata.category(c) == "Cc")}


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


@pytest.mark.parametrize(("level", "valid"), [(0.0, False), (0.01, True), (0.99, True), (1.0, False)])
def test_the_level_of_an_interval_is_between_0_and_1(level: float, valid: bool) -> None:
    bounds = Bounds(temperature=[1.0], humidity=[1.0], pressure=[1.0], wind_speed=[1.0])
    with nullcontext() if valid else pytest.raises(ValidationError):
        Interval(level=level, lower=bounds, upper=bounds)


def _samples() -> list[Record]:
    values = dict.fromkeys(("temperature", "humidity", "pressure", "wind_u", "wind_v"), 1.0)
    hour = Hour(station_id="jfk", hour=NOON.replace(minute=0), count=1, **values)
    prediction = a_prediction(failed=("range",))
    flag = Flag(variable="temperature", check="range", severity=1.0, reason="", onset=NOON)
    anomaly = prediction.anomaly.model_copy(update={"flags": [flag]})
    return [an_observation(), a_window(), hour, prediction.model_copy(update={"anomaly": anomaly}), a_guidance()]


def _time_fields(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all times of a JSON document."""
    if isinstance(value, str) and value.endswith("Z") and value[:4].isdigit():
        yield path
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _time_fields(inner, (*path, key))


def _replaced(document: dict[str, Any], path: tuple[str | int, ...], new: Any) -> bytes:
    document = json.loads(json.dumps(document))
    target: Any = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = new
    return json.dumps(document).encode()


UNREPRESENTABLE = ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "1899-12-31T23:59:59Z")


@pytest.mark.parametrize("text", [*UNREPRESENTABLE, iso(LATEST), "2199-12-31T23:00:00-01:00"])
def test_every_time_of_every_record_is_in_a_range(text: str) -> None:
    fields = 0
    for record in _samples():
        document = json.loads(record.to_json())
        for path in _time_fields(document):
            fields += 1
            with pytest.raises(ValidationError) as raised:
                type(record).from_json(_replaced(document, path, text))
            assert path in [error["loc"] for error in raised.value.errors()]
    assert fields > 25


def test_the_ends_of_the_range_of_times() -> None:
    for time in (EARLIEST, LATEST - timedelta(milliseconds=1)):
        assert Observation.from_json(Observation(station_id="jfk", timestamp=time).to_json()).timestamp == time


@pytest.mark.parametrize("count", [10**30, 2**31, -1])
def test_a_count_fits_an_sql_integer(count: int) -> None:
    for record, path in (
        (a_window(), ("aggregated_features", "count")),
        (a_window(), ("aggregated_features", "temperature", "count")),
        (a_window(), ("aggregated_features", "wind", "count")),
        (_samples()[2], ("count",)),
        (a_prediction(), ("confidence", "history_hours")),
    ):
        with pytest.raises(ValidationError):
            type(record).from_json(_replaced(json.loads(record.to_json()), path, count))
        assert type(record).from_json(_replaced(json.loads(record.to_json()), path, 2**31 - 1))


def _edited(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(a_prediction().to_json())
    change(document)
    return json.dumps(document).encode()


def _empty(document: dict[str, Any]) -> None:
    for block in (document["predictions"], document["confidence"]["lower"], document["confidence"]["upper"]):
        for name in VARIABLES:
            block[name] = []
    document["predictions"]["valid_times"] = []


def _cut(block: dict[str, Any], name: str) -> None:
    block[name] = block[name][:-1]


@pytest.mark.parametrize(
    "change",
    [
        _empty,
        lambda d: _cut(d["predictions"], "valid_times"),
        *(lambda d, name=name: _cut(d["predictions"], name) for name in VARIABLES),
        *(lambda d, side=side: _cut(d["confidence"][side], "pressure") for side in ("lower", "upper")),
        lambda d: [_cut(d["confidence"][side], "pressure") for side in ("lower", "upper")],
        lambda d: d["predictions"]["valid_times"].reverse(),
        lambda d: d["predictions"]["valid_times"].__setitem__(1, d["predictions"]["valid_times"][0]),
        lambda d: d["predictions"]["valid_times"].__setitem__(0, d["timestamp"]),
        lambda d: d["predictions"]["valid_times"].__setitem__(-1, "2026-01-06T12:15:00.001Z"),
        lambda d: d["confidence"]["lower"]["temperature"].__setitem__(3, 1e3),
    ],
)
def test_a_prediction_with_contradictory_lists_is_rejected(change: Callable[[dict[str, Any]], object]) -> None:
    assert RECORDS["prediction"].from_json(_edited(lambda _: None))
    with pytest.raises(ValidationError):
        RECORDS["prediction"].from_json(_edited(change))


@pytest.mark.parametrize(("minutes", "valid"), [(-5.001, False), (-5, True), (-0.001, True), (0, False)])
def test_the_last_observation_is_inside_its_window(minutes: float, valid: bool) -> None:
    document = json.loads(a_window().to_json())
    time = datetime.fromisoformat(document["window_end"]) + timedelta(minutes=minutes)
    with nullcontext() if valid else pytest.raises(ValidationError):
        RECORDS["window-features"].from_json(
            _replaced(document, ("aggregated_features", "last_observation"), time.isoformat())
        )


@pytest.mark.parametrize(("text", "valid"), [("12:00:00Z", True), ("12:00:00.001Z", False), ("12:30:00Z", False)])
def test_an_hour_is_a_full_hour(text: str, valid: bool) -> None:
    document = json.loads(_samples()[2].to_json())
    with nullcontext() if valid else pytest.raises(ValidationError):
        Hour.from_json(_replaced(document, ("hour",), f"2026-01-05T{text}"))

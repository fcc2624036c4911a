"""From MQTT messages to records."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from producer.mappings import MqttMapping
from producer.mqtt.payload import UnusablePayload, decode, to_record
from producer.own_stations import ProblemCode
from weatherglass.qc.observation_checks import RejectionReason

NOW = datetime(2026, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)
TOPIC = "home/garden/weather"
BASE: dict[str, Any] = {
    "topic": "home/+/weather",
    "station": "my-garden",
    "time": "time",
    "values": {"temperature": {"field": "outdoor.temp", "unit": "°F"}},
}


def record(content: object, retained: bool = False, **changes: Any) -> Any:
    """The record of a message; a change to None removes the entry."""
    mapping = {name: value for name, value in (BASE | changes).items() if value is not None}
    payload = json.dumps(content).encode()
    return to_record(MqttMapping.model_validate(mapping), TOPIC, decode(payload), retained, NOW)


def reason(content: object, retained: bool = False, **changes: Any) -> str:
    with pytest.raises(UnusablePayload) as caught:
        record(content, retained, **changes)
    return caught.value.reason


def test_values_are_found_by_path_and_converted() -> None:
    values = {
        "temperature": {"field": "outdoor.temp", "unit": "°F"},
        "humidity": {"field": "outdoor.hum", "unit": "%"},
        "pressure": {"field": "baro", "unit": "inHg"},
        "wind_speed": {"field": "wind.speed", "unit": "km/h"},
        "wind_gust": {"field": "wind.gust", "unit": "kt"},
        "wind_direction": {"field": "wind.dir", "unit": "°"},
    }
    content = {
        "time": "2026-06-01T11:59:00Z",
        "outdoor": {"temp": 59, "hum": None},
        "baro": 29.92,
        "wind": {"speed": 36, "gust": 20, "dir": 270},
        "battery": "ok",
    }
    assert record(content, values=values) == {
        "station_id": "my-garden",
        "timestamp": "2026-06-01T11:59:00Z",
        "temperature": 15.0,
        "pressure": pytest.approx(1013.2, abs=0.05),
        "wind_speed": 10.0,
        "wind_gust": pytest.approx(10.29, abs=0.005),
        "wind_direction": 270.0,
    }


@pytest.mark.parametrize(
    ("changes", "station"),
    [
        ({}, "my-garden"),
        ({"station": None, "station_level": 2}, "garden"),
        ({"station": None, "station_field": "device.id"}, "roof"),
        ({"station": None, "station_field": "device.name"}, None),
    ],
)
def test_the_station_is_stated_or_in_the_topic_or_in_the_message(changes: dict[str, Any], station: str | None) -> None:
    content = {"time": "2026-06-01T11:59:00Z", "device": {"id": "roof"}}
    assert record(content, **changes)["station_id"] == station


@pytest.mark.parametrize(
    ("value", "changes", "expected"),
    [
        ("2026-06-01T11:59:00Z", {}, "2026-06-01T11:59:00Z"),
        ("2026-06-01 13:59:00.5+02:00", {}, "2026-06-01T11:59:00.500Z"),
        ("2026-06-01T13:59:00", {"time_zone": "Europe/Oslo"}, "2026-06-01T11:59:00Z"),
        ("2026-06-01T13:59:00", {"time_zone": "+02:00"}, "2026-06-01T11:59:00Z"),
        (1_780_315_140, {"time_format": "epoch-s"}, "2026-06-01T11:59:00Z"),
        (1_780_315_140_500, {"time_format": "epoch-ms"}, "2026-06-01T11:59:00.500Z"),
    ],
)
def test_times(value: object, changes: dict[str, Any], expected: str) -> None:
    assert record({"time": value}, **changes)["timestamp"] == expected


@pytest.mark.parametrize(
    ("value", "changes", "code"),
    [
        (None, {}, "missing_time"),
        ("2026-06-01T11:59:00", {}, "no_zone"),
        ("2026-06-01", {"time_zone": "UTC"}, "bad_time"),
        ("yesterday", {}, "bad_time"),
        (1_780_315_140, {}, "bad_time"),
        ("1780315140", {"time_format": "epoch-s"}, "bad_time"),
        (True, {"time_format": "epoch-s"}, "bad_time"),
        (1e300, {"time_format": "epoch-s"}, "bad_time"),
        ("0001-01-01T00:00:00+02:00", {}, "bad_time"),
        # The clocks change on 29 March and 25 October 2026.
        ("2026-03-29T02:30:00", {"time_zone": "Europe/Oslo"}, "bad_time"),
        ("2026-10-25T02:30:00", {"time_zone": "Europe/Oslo"}, "bad_time"),
    ],
)
def test_a_time_that_is_not_certain_is_refused(value: object, changes: dict[str, Any], code: str) -> None:
    assert reason({"time": value}, **changes) == code


def test_the_time_of_arrival_is_only_used_if_stated_and_not_for_retained_messages() -> None:
    arrival = {"time": None, "time_of_arrival": True}
    assert record({"outdoor": {"temp": 59}}, **arrival)["timestamp"] == "2026-06-01T12:00:00.250Z"
    assert reason({"outdoor": {"temp": 59}}, retained=True, **arrival) == "missing_time"
    assert record({"time": "2026-06-01T11:59:00Z"}, retained=True)["timestamp"] == "2026-06-01T11:59:00Z"


@pytest.mark.parametrize("value", ["59", True, [59], {"value": 59}])
def test_a_value_that_is_not_a_number_is_refused(value: object) -> None:
    assert reason({"time": "2026-06-01T11:59:00Z", "outdoor": {"temp": value}}) == "wrong_type"


def test_without_values_a_message_is_a_record() -> None:
    content = {"station_id": "my-garden", "timestamp": "2026-06-01T11:59:00Z", "temperature": 15}
    mapping = MqttMapping.model_validate({"topic": "records/#"})
    assert to_record(mapping, "records/a", content, False, NOW) == content


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", RejectionReason.EMPTY),
        (b"\xff\xfe", RejectionReason.NOT_UTF8),
        (b"{", RejectionReason.MALFORMED_JSON),
        (b'{"a": NaN}', RejectionReason.MALFORMED_JSON),
        (b'{"a": 1, "a": 2}', RejectionReason.MALFORMED_JSON),
        (b"[" * 100_000, RejectionReason.MALFORMED_JSON),
        (b"9" * 5000, RejectionReason.MALFORMED_JSON),
        (b"21.5", ProblemCode.WRONG_TYPE),
        (b"[1]", ProblemCode.WRONG_TYPE),
    ],
)
def test_other_payloads_are_refused(payload: bytes, code: str) -> None:
    with pytest.raises(UnusablePayload) as caught:
        decode(payload)
    assert caught.value.reason == code


@pytest.mark.parametrize(
    "changes",
    [
        {"topic": "home/#/weather"},
        {"topic": "home/a+/weather"},
        {"topic": ""},
        {"station": None},
        {"station_level": 2},
        {"station": None, "station_level": 4},
        {"time": None},
        {"time_of_arrival": True},
        {"time_format": "dd/mm/yyyy"},
        {"time_zone": "Oslo"},
        {"values": None},
        {"values": {"temperature": {"field": "t"}}},
        {"values": {"temperature": {"field": "t", "unit": "hPa"}}},
        {"values": {"dew_point": {"field": "t", "unit": "°C"}}},
    ],
)
def test_a_mapping_that_leaves_something_open_is_invalid(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MqttMapping.model_validate({name: value for name, value in (BASE | changes).items() if value is not None})


@pytest.mark.parametrize("topic", ["#", "+", "a", "a/#", "+/+", "a//b", "/a"])
def test_topic_filters(topic: str) -> None:
    assert MqttMapping.model_validate({"topic": topic}).topic == topic


def test_a_number_beyond_a_double_is_rejected() -> None:
    assert reason({"time": "2026-06-01T11:59:00Z", "outdoor": {"temp": 10**400}}) == RejectionReason.NOT_FINITE


def test_a_topic_without_the_level_of_the_station_is_rejected() -> None:
    """The filter `a/#` also matches the topic `a`."""
    content = {"time": "2026-06-01T11:59:00Z", "outdoor": {"temp": 59}}
    levels = {"topic": "home/garden/weather/#", "station": None}
    assert reason(content, station_level=4, **levels) == RejectionReason.MISSING_STATION
    assert record(content, station_level=3, **levels)["station_id"] == "weather"

"""Validation of records: which reason an invalid value gets, and what is too far ahead."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.weatherglass.store.samples import a_guidance, a_prediction, a_window, an_observation
from weatherglass.consumer.validation import InvalidRecord, parse_record
from weatherglass.history.hours import AFTER_HOUR, BEFORE_HOUR, WINDOW, hours_from_windows
from weatherglass.qc.observation_checks import RejectionReason
from weatherglass.records import Hour, Observation, Prediction, Record, WindowFeatures
from weatherglass.settings import Settings

NOW = datetime(2026, 1, 5, 12, 30, tzinfo=UTC)
TOLERANCE = timedelta(minutes=10)
SETTINGS = Settings(future_tolerance_minutes=10)
MILLISECOND = timedelta(milliseconds=1)


HOUR = NOW.replace(minute=0)


def an_hour(hour: datetime = HOUR, **values: Any) -> Hour:
    names = ("temperature", "humidity", "pressure", "wind_u", "wind_v")
    return Hour(station_id="jfk", hour=hour, count=1, **{**dict.fromkeys(names), **values})


def reason_of(kind: type[Record], value: bytes | None, now: datetime = NOW) -> RejectionReason | None:
    try:
        parse_record(kind, value, now, SETTINGS)
    except InvalidRecord as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, RejectionReason.EMPTY),
        (b"", RejectionReason.EMPTY),
        (b"{", RejectionReason.MALFORMED_JSON),
        (b"\xff\xfe", RejectionReason.MALFORMED_JSON),
        (b"[" * 100_000, RejectionReason.MALFORMED_JSON),
        (b"[]", RejectionReason.WRONG_TYPE),
        (b'{"station_id": 7}', RejectionReason.WRONG_TYPE),
        (an_hour().to_json().replace(b"jfk", b".."), RejectionReason.BAD_STATION),
        (an_hour().to_json().replace(b'"count":1', b'"count":1' + b"0" * 30), RejectionReason.OUT_OF_RANGE),
        (an_hour(temperature=1.5).to_json().replace(b"1.5", b"1e999"), RejectionReason.NOT_FINITE),
        (an_hour().to_json(), None),
    ],
)
def test_the_reason_names_the_first_problem(value: bytes | None, reason: RejectionReason | None) -> None:
    assert reason_of(Hour, value) is reason


@pytest.mark.parametrize(
    "record",
    [
        lambda time: an_observation(timestamp=time),
        a_window,
        lambda time: a_prediction(timestamp=time),
        lambda time: a_guidance(run=time),
    ],
)
def test_a_record_too_far_ahead_is_rejected(record: Callable[[datetime], Record]) -> None:
    latest, later = record(NOW + TOLERANCE), record(NOW + TOLERANCE + MILLISECOND)
    assert reason_of(type(latest), latest.to_json()) is None
    assert reason_of(type(later), later.to_json()) is RejectionReason.FUTURE


def test_an_hour_is_too_far_ahead_if_no_observation_can_belong_to_it_yet() -> None:
    """The hour 13:00 is computed from 12:41 on. No hour that the pipeline itself computes is rejected."""
    hour = datetime(2026, 1, 5, 13, tzinfo=UTC)
    first = hour - BEFORE_HOUR
    value = an_hour(hour).to_json()
    assert reason_of(Hour, value, first - TOLERANCE) is None
    assert reason_of(Hour, value, first - TOLERANCE - MILLISECOND) is RejectionReason.FUTURE
    for minute in range(int((BEFORE_HOUR + AFTER_HOUR) / timedelta(minutes=1))):
        observed = first + timedelta(minutes=minute)
        window = a_window(observed)
        computed = hours_from_windows(
            [("new-york", hour)],
            {"new-york": {hour + AFTER_HOUR - timedelta(minutes=5 * n): window.aggregated_features for n in range(4)}},
        )
        assert [reason_of(Hour, one.to_json(), observed - TOLERANCE) for one in computed] == [None]


def test_a_window_has_the_length_of_all_windows() -> None:
    document = json.loads(a_window(NOW).to_json())
    document["window_end"] = "2026-01-05T12:32:00Z"
    longer = WindowFeatures.from_json(json.dumps(document))
    assert longer.window_end - longer.window_start > WINDOW
    assert reason_of(WindowFeatures, longer.to_json()) is RejectionReason.OUT_OF_RANGE


@pytest.mark.parametrize(
    "record",
    [
        an_hour(temperature=1e300),
        an_hour(pressure=0.0),
        an_hour(wind_u=-1e10),
        an_hour(wind_speed=-1.0),
        a_window(NOW, temperature=1e30),
        a_prediction(timestamp=NOW, temperature=1e4),
        a_guidance(run=NOW, temperature=1e4),
    ],
)
def test_values_beyond_the_limits_of_quality_control_are_rejected(record: Record) -> None:
    assert reason_of(type(record), record.to_json()) is RejectionReason.OUT_OF_RANGE


def test_rounded_values_at_the_limits_are_accepted() -> None:
    hour = an_hour(humidity=100.0000001, wind_u=75.000001, wind_v=-75.000001, wind_speed=75.000001)
    assert parse_record(Hour, hour.to_json(), NOW, SETTINGS) == hour


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("temperature", -95, 60), ("pressure", 300, 1100), ("wind_u", -75, 75), ("wind_v", -75, 75)],
)
def test_a_value_may_exceed_its_limit_by_a_hundredth(name: str, low: float, high: float) -> None:
    for value in (low - 0.0099, high + 0.0099):
        assert reason_of(Hour, an_hour(**{name: value}).to_json()) is None
    for value in (low - 0.0101, high + 0.0101):
        assert reason_of(Hour, an_hour(**{name: value}).to_json()) is RejectionReason.OUT_OF_RANGE


def test_an_impossible_value_of_an_observation_is_left_to_quality_control() -> None:
    observation = an_observation(timestamp=NOW, temperature=1e300)
    assert parse_record(Observation, observation.to_json(), NOW, SETTINGS) == observation


def test_old_derived_records_are_valid_and_old_observations_are_not() -> None:
    later = NOW + timedelta(hours=SETTINGS.past_horizon_hours + 1)
    assert reason_of(Prediction, a_prediction(timestamp=NOW).to_json(), later) is None
    assert reason_of(Observation, an_observation(timestamp=NOW).to_json(), later) is RejectionReason.PAST

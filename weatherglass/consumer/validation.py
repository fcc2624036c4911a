"""Validation of records, with the same rules for every job that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TypeVar

from pydantic import ValidationError

from weatherglass.guidance_record import GUIDANCE_VARIABLES, Guidance
from weatherglass.history.grid import GRID_VARIABLES
from weatherglass.history.hours import BEFORE_HOUR, WINDOW
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.qc.observation_checks import RejectionReason, check_timestamp, too_far_ahead
from weatherglass.records import VARIABLES, Hour, Observation, Prediction, Record, WindowFeatures
from weatherglass.settings import Settings

T = TypeVar("T", bound=Record)

ROUNDING = 0.01
"""Means and rounded values may exceed a range limit by less than this."""

_LIMITS = {
    **{name: (limit.low - ROUNDING, limit.high + ROUNDING) for name, limit in RANGE_LIMITS.items()},
    **dict.fromkeys(("wind_u", "wind_v"), tuple(s * (RANGE_LIMITS["wind_speed"].high + ROUNDING) for s in (-1, 1))),
}

_REASONS = {
    "json_invalid": RejectionReason.MALFORMED_JSON,
    "finite_number": RejectionReason.NOT_FINITE,
    **dict.fromkeys(
        ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "too_short", "too_long"),
        RejectionReason.OUT_OF_RANGE,
    ),
    **dict.fromkeys(
        ("string_too_long", "outside_window", "no_full_hour", "bounds", "valid_times", "ragged", "no_value", "run"),
        RejectionReason.OUT_OF_RANGE,
    ),
    "string_pattern_mismatch": RejectionReason.BAD_STATION,
}
"""By the type of pydantic's error; every other type is `WRONG_TYPE`."""


class InvalidRecord(ValueError):
    """A record that is skipped. The message names the field."""

    def __init__(self, reason: RejectionReason, detail: str):
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason


def parse_record(kind: type[T], value: bytes | None, now: datetime, settings: Settings) -> T:
    """Parse and check the value of a record.

    A record must not be too far ahead of `now`: it would remain the newest one of its station, and a future hour would
    end the past of all stations. Values outside the limits of quality control are never part of a derived record.

    Args:
        now: UTC; the clock of the reader, for an observation the time of its arrival.

    Raises:
        InvalidRecord: it is not such a record, is too far ahead, or has impossible values.
    """
    if not value:
        raise InvalidRecord(RejectionReason.EMPTY, "no value")
    try:
        record = kind.from_json(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        reason = _REASONS.get(first["type"], RejectionReason.WRONG_TYPE)
        raise InvalidRecord(reason, f"{'.'.join(map(str, first['loc']))[:200] or 'value'}: {first['msg']}") from None
    _check_time(record, now, settings)
    for name, number in _values(record):
        low, high = _LIMITS[name]
        if number is not None and not low <= number <= high:
            raise InvalidRecord(RejectionReason.OUT_OF_RANGE, f"{name} {number:g}")
    return record


def _check_time(record: Record, now: datetime, settings: Settings) -> None:
    if isinstance(record, Observation):
        if reason := check_timestamp(record.timestamp, now, settings):
            raise InvalidRecord(reason, f"timestamp {record.timestamp}")
        return
    if isinstance(record, WindowFeatures) and record.window_end - record.window_start != WINDOW:
        raise InvalidRecord(RejectionReason.OUT_OF_RANGE, f"a window of {record.window_end - record.window_start}")
    observed = _observed(record)
    if too_far_ahead(observed, now, settings):
        raise InvalidRecord(RejectionReason.FUTURE, f"observed or received at {observed} or later")


def _observed(record: Record) -> datetime:
    """When an observation that the record is made from was made at the earliest; when guidance was received."""
    if isinstance(record, WindowFeatures):
        return record.aggregated_features.last_observation
    if isinstance(record, Hour):
        return record.hour - BEFORE_HOUR
    if isinstance(record, Guidance):
        return record.fetched_at
    assert isinstance(record, Prediction)
    return record.timestamp


def _values(record: Record) -> Iterator[tuple[str, float | None]]:
    """The values of a derived record that forecasts are made from, or that are forecast."""
    if isinstance(record, WindowFeatures):
        features = record.aggregated_features
        for name in VARIABLES:
            statistics = getattr(features, name)
            yield from ((name, value) for value in (statistics.mean, statistics.min, statistics.max, statistics.last))
        yield from (("wind_u", features.wind.u), ("wind_v", features.wind.v))
    elif isinstance(record, Hour):
        yield from ((name, getattr(record, name)) for name in GRID_VARIABLES)
    elif isinstance(record, Guidance):
        yield from ((name, value) for name in GUIDANCE_VARIABLES for value in getattr(record.values, name))
    elif isinstance(record, Prediction):
        yield from ((name, value) for name in VARIABLES for value in getattr(record.predictions, name))

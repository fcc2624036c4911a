"""What a reading must satisfy to be used, and why a message could not be used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from weatherglass.records import Quality
from weatherglass.settings import Settings


@dataclass(frozen=True)
class Limits:
    """The values that an instrument can honestly give, both ends included, and its resolution; units of the contract.

    Ranges: WMO-No. 488, Guide to the Global Observing System, appendix VI.2 (quality control of automatic weather
    stations, plausible value check). Resolutions: WMO-No. 8, volume I, annex 1.A.
    """

    low: float
    high: float
    resolution: float

    def check(self, value: float | None) -> Quality:
        if value is None:
            return Quality.NOT_CHECKED
        return Quality.OK if self.low <= value <= self.high else Quality.FAILED


LIMITS: dict[str, Limits] = {
    "temperature": Limits(-80.0, 60.0, 0.1),
    "humidity": Limits(0.0, 100.0, 1.0),
    "pressure": Limits(500.0, 1100.0, 0.1),
    "wind_speed": Limits(0.0, 75.0, 0.5),
    "wind_direction": Limits(0.0, 360.0, 1.0),
}
"""The five variables of an observation; a value outside its range is kept out of all aggregates."""


class Reason(StrEnum):
    """Why a message lies in `weather-rejected`: its header `reason`."""

    EMPTY = "empty"
    NOT_UTF8 = "not_utf8"
    MALFORMED_JSON = "malformed_json"
    """No JSON, cut off, or a key twice."""
    NOT_FINITE = "not_finite"
    """NaN or Infinity, which JSON does not have, or a number beyond a double."""
    WRONG_TYPE = "wrong_type"
    """No object, or a field of another type than the contract's: a number written as a string is one."""
    MISSING_STATION = "missing_station"
    BAD_STATION = "bad_station"
    """A station id that is empty or longer than 100 characters."""
    MISSING_TIME = "missing_time"
    BAD_TIME = "bad_time"
    """A time that is no ISO 8601 date and time with seconds."""
    NO_ZONE = "no_zone"
    """A time without `Z` or an offset from UTC."""
    FUTURE = "future"
    PAST = "past"
    LATE = "late"
    """Every window it belongs to was already closed by the watermark."""


def clock_fault(timestamp: datetime, arrived: datetime, settings: Settings) -> Reason | None:
    """Whether an observation is too far in the future or the past, against its arrival at the broker."""
    if timestamp > arrived + timedelta(minutes=settings.future_tolerance_minutes):
        return Reason.FUTURE
    if timestamp < arrived - timedelta(hours=settings.past_horizon_hours):
        return Reason.PAST
    return None

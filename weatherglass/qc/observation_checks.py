"""What a reading must satisfy to be used, and why a message could not be used.

Each message is judged where it comes in, by what it alone tells; what needs the station's past or its neighbours
belongs to inference. The clock is checked first (`clock_fault`): a message from the future or the far past is rejected
whole. Then `CHECKS`, each with three states: *ok*, *failed*, *not_checked* where there was nothing to check or nothing
to check it with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from weatherglass import meteorology as met
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


CHECKS = ("range", "climate", "dew_point", "wind", "pressure_elevation")
"""The checks of one observation; what fails is kept out of the aggregates, unless it says otherwise.

- `range`: each value within `LIMITS`.
- `climate`: temperature, pressure and wind speed within what the station's history has seen in that month, widened by
  half its span on each side (`climate.py`); not checked without history.
- `dew_point`: the dew point of temperature and humidity is at most the temperature (else the humidity fails) and at
  most `HIGHEST_DEW_POINT` (else both fail, since one of them is wrong).
- `wind`: no direction but 0 without wind. Such a direction enters no aggregate anyway: a calm has none.
- `pressure_elevation`: the pressure within `PRESSURE_TOLERANCE` of the standard atmosphere's at the station's
  elevation. One that fits the sea level instead is taken for a pressure that was reduced already: it stays in the
  aggregates, fails the check, and is not reduced once more. Not checked where the elevation is unknown.
"""

HIGHEST_DEW_POINT = 36.0
"""°C. The highest on record is 35 (Dhahran, 8 July 2003)."""

PRESSURE_TOLERANCE = 80.0
"""hPa: the extremes on record at sea level, 870 and 1084 hPa, lie further off, but in the eyes of storms."""

Bounds = tuple[float, float] | None
Climate = Mapping[str, Iterable[Iterable[Bounds]]]
"""Station id -> twelve months -> the variables in order -> lowest and highest usual value, None where not known."""


@dataclass(frozen=True)
class Rules:
    """What quality control knows of the stations: their climate, and their elevations in metres."""

    climate: Climate = field(default_factory=dict)
    elevations: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """With what is the same everywhere; what `Rules.java` reads."""
        rules = {
            "variables": list(LIMITS),
            "checks": CHECKS,
            "limits": [[limits.low, limits.high] for limits in LIMITS.values()],
            "resolutions": [limits.resolution for limits in LIMITS.values()],
            "magnus": [met.MAGNUS_A, met.MAGNUS_B, met.MAGNUS_E],
            "reduction": [met.ZERO, met.REDUCTION, met.LAPSE_RATE, met.VAPOUR_CORRECTION, met.LOWEST, met.HIGHEST],
            "steadman": met.STEADMAN,
            "steadmanVapour": met.STEADMAN_VAPOUR,
            "highestDewPoint": HIGHEST_DEW_POINT,
            "pressureTolerance": PRESSURE_TOLERANCE,
        }
        return json.dumps(rules | asdict(self))


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

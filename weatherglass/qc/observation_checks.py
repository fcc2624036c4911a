"""Checks of single observations, and the reasons for which a message is rejected.

Each message is checked on arrival, using only its own content and the station table; checks that need the station's
past or its neighbours belong to inference. The timestamp is checked first (`check_timestamp`): a message from the
future or the distant past is rejected. Then follow the `CHECKS`, each with three states: *ok*, *failed*, and
*not_checked* if a value or a limit is missing.

The stream imports this module, so it must not import numpy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from weatherglass.qc import limits
from weatherglass.settings import Settings

CHECKS = ("range", "climate", "dew_point", "pressure_elevation")
"""The checks of one observation. A value that fails is excluded from the aggregates unless stated otherwise.

- `range`: each value is possible at the station (`limits.range_limits`). Before all checks, a humidity within the
  tolerance above 100 % is set to 100 %.
- `climate`: temperature, pressure and wind speed are within the extremes that the station's history has for the month,
  widened by half their span on each side (`history.climate_limits`); not checked without history.
- `dew_point`: the dew point of temperature and humidity is at most the temperature (else the humidity fails) and at
  most `limits.DEW_POINT.observation` (else both fail, because one of them is wrong).
- `pressure_elevation`: the pressure is within `limits.pressure_range` of the station's elevation. A pressure that fits
  sea level instead is taken as already reduced: it stays in the aggregates, fails the check, and is not reduced again.
  Not checked if the elevation is unknown.

Speed and direction of the wind are not compared: in a calm, a vane keeps its last direction.
"""

ClimateRange = tuple[float, float] | None
ClimateTable = Mapping[str, Iterable[Iterable[ClimateRange]]]
"""Station id -> twelve months -> the variables in order -> lowest and highest usual value, None where unknown."""


@dataclass(frozen=True)
class QcParameters:
    """Station data that the checks use: climate, elevations in metres, and latitudes in degrees north."""

    climate: ClimateTable = field(default_factory=dict)
    elevations: Mapping[str, float] = field(default_factory=dict)
    latitudes: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the JSON that `QcParameters.java` reads: the limits, these data, and the constants of the formulas."""
        from weatherglass import meteorology as met  # imports numpy

        content = {
            "variables": list(limits.RANGE_LIMITS),
            "checks": CHECKS,
            "limits": _ranges(limits.RANGE_LIMITS),
            "tolerances": [limit.tolerance for limit in limits.RANGE_LIMITS.values()],
            "stationLimits": {
                name: _ranges(limits.range_limits(self.latitudes.get(name), elevation))
                for name, elevation in self.elevations.items()
            },
            "stationPressures": {name: limits.pressure_range(elevation) for name, elevation in self.elevations.items()},
            "seaLevelPressures": limits.pressure_range(0.0),
            "resolutions": [limit.resolution for limit in limits.RANGE_LIMITS.values()],
            "magnus": [met.MAGNUS_A, met.MAGNUS_B, met.MAGNUS_E],
            "reduction": [met.ZERO, met.REDUCTION, met.LAPSE_RATE, met.VAPOUR_CORRECTION, met.LOWEST, met.HIGHEST],
            "steadman": met.STEADMAN,
            "steadmanVapour": met.STEADMAN_VAPOUR,
            "highestDewPoint": limits.DEW_POINT.observation,
            "climate": self.climate,
            "elevations": self.elevations,
        }
        return json.dumps(content)


def _ranges(of_variables: Mapping[str, limits.RangeLimit]) -> list[tuple[float, float]]:
    return [(limit.low, limit.high) for limit in of_variables.values()]


class RejectionReason(StrEnum):
    """Why a message is in `weather-rejected`: the value of its header `reason`."""

    EMPTY = "empty"
    NOT_UTF8 = "not_utf8"
    MALFORMED_JSON = "malformed_json"
    """Not JSON, truncated, or with a repeated key."""
    NOT_FINITE = "not_finite"
    """NaN or Infinity, which JSON does not have, or a number beyond the range of a double."""
    WRONG_TYPE = "wrong_type"
    """Not an object, or a field of another type than specified, for example a number in quotes."""
    MISSING_STATION = "missing_station"
    BAD_STATION = "bad_station"
    """A station id that is empty, longer than 100 characters, `.` or `..`, or with a slash, a backslash or a control
    character."""
    MISSING_TIME = "missing_time"
    BAD_TIME = "bad_time"
    """Not an ISO 8601 date and time with seconds."""
    NO_ZONE = "no_zone"
    """A time without `Z` or an offset from UTC."""
    OUT_OF_RANGE = "out_of_range"
    """In a derived record: a number, time or list outside the range of its field, or an impossible value."""
    FUTURE = "future"
    PAST = "past"
    LATE = "late"
    """All windows of the observation were closed, because its station had sent newer ones."""


def check_timestamp(timestamp: datetime, arrived: datetime, settings: Settings) -> RejectionReason | None:
    """Return `FUTURE` or `PAST` if an observation is too far from its arrival at the broker, else None."""
    if too_far_ahead(timestamp, arrived, settings):
        return RejectionReason.FUTURE
    if timestamp < arrived - timedelta(hours=settings.past_horizon_hours):
        return RejectionReason.PAST
    return None


def too_far_ahead(time: datetime, now: datetime, settings: Settings) -> bool:
    """Whether a time of observation, UTC, is after `now` by more than clocks may differ."""
    return time > now + timedelta(minutes=settings.future_tolerance_minutes)

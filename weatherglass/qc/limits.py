"""The limits of quality control, each with its source. All checks take their limits from here.

Values are in the units of the records. Three kinds of checks have limits of their own where they must differ:
*observation* checks (`observation_checks`, in the stream) exclude a value from all aggregates, so they only act on the
impossible; *series* checks (`series_checks`, in serving) flag a value that is still used; *history* checks
(`history_checks`) flag hourly archives, whose values are rounded, interpolated and partly filled in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from weatherglass.records import Quality

T = TypeVar("T")


@dataclass(frozen=True)
class RangeLimit:
    """The values that an instrument can plausibly give, both ends included, and its resolution.

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


@dataclass(frozen=True)
class Limit(Generic[T]):
    """A limit that all checks share."""

    value: T
    source: str


@dataclass(frozen=True)
class ObservationAndSeries(Generic[T]):
    """A limit with one column for observation checks and one for series checks."""

    observation: T
    series: T
    source: str


@dataclass(frozen=True)
class SeriesAndHistory(Generic[T]):
    """A limit with one column for series checks and one for history checks."""

    series: T
    history: T
    source: str


RANGE_LIMITS: dict[str, RangeLimit] = {
    "temperature": RangeLimit(-80.0, 60.0, 0.1),
    "humidity": RangeLimit(0.0, 100.0, 1.0),
    "pressure": RangeLimit(500.0, 1100.0, 0.1),
    "wind_speed": RangeLimit(0.0, 75.0, 0.5),
    "wind_direction": RangeLimit(0.0, 360.0, 1.0),
}
"""The five variables of an observation; a value outside its range is excluded from all aggregates."""

DEW_POINT = ObservationAndSeries(
    observation=36.0, series=35.0, source="Highest dew point on record: 35 °C (Dhahran, 8 July 2003)"
)
"""°C. The observation check allows one degree more, because it excludes temperature and humidity."""

PRESSURE_TOLERANCE = Limit(
    80.0, "The extremes on record at sea level, 870 and 1084 hPa, differ more from the standard only in storm centers"
)
"""hPa from the pressure of the standard atmosphere at the station's elevation."""

STEP = SeriesAndHistory(
    series={"temperature": 19.4, "humidity": 50.0, "pressure": 15.0, "wind_speed": 10.3},
    history={"temperature": 15.0, "humidity": 60.0, "pressure": 15.0, "wind_speed": 20.0},
    source="Series: 35 °F, 50 %, 15 hPa, 20 kt (NOAA MADIS, Meteorological Surface Quality Control, level 2 temporal "
    "consistency check). History: jumps between hours after Dunn et al. (2012), HadISD, Climate of the Past 8",
)
"""Largest plausible change within an hour, in the variable's unit."""

STEP_SHARE = Limit(
    {"temperature": 0.5, "humidity": 0.5, "pressure": 0.5, "wind_speed": 1.0},
    "Zahumenský (2004), Guidelines on Quality Control Procedures for Data from Automatic Weather Stations, WMO: wind "
    "comes in gusts and may change by 10 m/s between two minutes",
)
"""Share of `STEP` that is allowed within less than a quarter of an hour; beyond, it grows with the square root of
time, as weather does."""

GAP_HOURS = Limit(3.0, "Own choice: after a longer gap, two readings say nothing about a step or a flat line")

FLAT_HOURS = SeriesAndHistory(
    series={"temperature": 6.0, "humidity": 12.0, "pressure": 12.0, "wind_speed": 24.0},
    history={"temperature": 12.0, "humidity": 24.0, "pressure": 12.0, "wind_speed": 24.0},
    source="Series: persistence test of Zahumenský (2004), much wider because sources round and interpolate between "
    "hours. History: streaks after Durre et al. (2010), J. Applied Meteorology and Climatology 49, and Dunn et al. "
    "(2012)",
)
"""Hours without any change from which on a value is flagged."""

FLAT_MIN_READINGS = Limit(5, "Own choice: fewer equal readings occur by chance")

SATURATION = SeriesAndHistory(
    series=98.0, history=100.0, source="Own choice: fog and rain can keep the humidity there for days"
)
"""%. From here on, an unchanged humidity is not flagged."""

CALM = Limit(0.5, "Own choice: below, a cup anemometer does not turn")
"""m/s. Below, an unchanged wind speed is not flagged."""

UNCHANGED = SeriesAndHistory(
    series=1e-3, history=1e-6, source="Own choice: series have single precision (at 1000 hPa), history double precision"
)
"""Values that differ by less are equal."""

LINE_HOURS = Limit(6, "Own choice, for linear interpolation across gaps of archives")
"""Values on a slanting straight line from which on it is flagged."""

RESOLUTION_TOLERANCE = Limit(1e-3, "Own choice: a rounding error")
"""Share of a resolution step by which a measured value may differ from a multiple of it."""

SEA_LEVEL_MIN_ELEVATION = Limit(
    120.0, "Own choice: below, the reduction to sea level changes a pressure by less than the weather does"
)
"""m."""

CLIMATE_MARGIN = Limit(0.5, "Own choice: a new record is not a fault")
"""How far beyond the extremes of history a value may lie, as a share of their span."""

CLIMATE_QUANTILE = Limit(0.001, "Own choice: the most extreme values of a history may themselves be faults")
"""Share of values that is ignored at each end."""

CLIMATE_MIN_HOURS = Limit(24 * 20, "Own choice: about three weeks, of one year or several")
"""Hours of a calendar month that are needed for its climate limits."""

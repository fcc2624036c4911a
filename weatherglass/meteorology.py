"""Meteorological formulas, each with its source and range of validity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MAGNUS_A = 17.62
MAGNUS_B = 243.12
"""Coefficients of Magnus' formula over water, B in °C. Source: WMO-No. 8, volume I, annex 4.B (after Sonntag 1990)."""


MAGNUS_E = 6.112
"""Saturation vapour pressure at 0 °C, hPa; the same source."""

ZERO = 273.15
"""0 °C in kelvin."""

REDUCTION = 0.0148275
"""Kp of the reduction to sea level, K per geopotential metre: g / (R ln 10)."""
LAPSE_RATE = 0.0065
"""Lapse rate of the fictitious air column below the station, K per metre."""
VAPOUR_CORRECTION = 0.12
"""Ch: contribution of the water vapour to the virtual temperature of that column, K per hPa."""
LOWEST, HIGHEST = -430.0, 750.0
"""Elevations, m, for which the reduction is recommended; above, the fictitious column has little meaning."""

STEADMAN = (0.33, -0.70, -4.00)
"""Weights of vapour pressure (hPa) and wind speed (m/s), and the constant, of the apparent temperature."""
STEADMAN_VAPOUR = (17.27, 237.7, 6.105)
"""Coefficients of the vapour pressure in this formula."""


def dew_point(temperature: npt.ArrayLike, humidity: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the dew point, °C, over water at `temperature`, °C, and relative `humidity`, %; NaN at 0 % and below.

    Magnus' formula inverted. Source: WMO-No. 8, volume I, annex 4.B; good to 0.1 K between -45 and 60 °C.
    """
    temperature, humidity = np.asarray(temperature, float), np.asarray(humidity, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        wet = np.log(np.where(humidity > 0, humidity, np.nan) / 100)
    gamma = wet + MAGNUS_A * temperature / (MAGNUS_B + temperature)
    return MAGNUS_B * gamma / (MAGNUS_A - gamma)


def relative_humidity(temperature: npt.ArrayLike, dew_point: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the relative humidity, %, over water from temperature and dew point, °C; the inverse of `dew_point`."""
    saturated, actual = (MAGNUS_A * t / (MAGNUS_B + t) for t in (np.asarray(temperature), np.asarray(dew_point)))
    return np.asarray(100 * np.exp(actual - saturated), np.float64)


def sea_level_pressure(
    pressure: npt.ArrayLike, temperature: npt.ArrayLike, humidity: npt.ArrayLike, elevation: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Reduce station `pressure`, hPa, to sea level with temperature, °C, humidity, %, and elevation, m.

    NaN outside elevations of -430 to 750 m, for which the formula is recommended. Source: WMO-No. 8, volume I,
    chapter 3, reduction to mean sea level: log10(p0/p) = Kp h / (T + a h/2 + e Ch).
    """
    temperature, elevation = np.asarray(temperature, float), np.asarray(elevation, float)
    vapour = MAGNUS_E * np.exp(MAGNUS_A * temperature / (MAGNUS_B + temperature)) * np.asarray(humidity, float) / 100
    column = temperature + ZERO + LAPSE_RATE * elevation / 2 + VAPOUR_CORRECTION * vapour
    reduced = np.asarray(pressure, float) * 10 ** (REDUCTION * elevation / column)
    return np.where((elevation >= LOWEST) & (elevation <= HIGHEST), reduced, np.nan)


def apparent_temperature(
    temperature: npt.ArrayLike, humidity: npt.ArrayLike, wind_speed: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Return the apparent temperature, °C, in the shade from temperature, °C, humidity, %, and wind speed, m/s.

    Steadman's regression without radiation: T + 0.33 e - 0.70 v - 4.00, e the vapour pressure in hPa. Source:
    Steadman, "Norms of apparent temperature in Australia", Australian Meteorological Magazine 43, 1994, as used
    by the Bureau of Meteorology. Fitted to temperatures of about -20 to 50 °C and winds of up to 20 m/s.
    """
    temperature = np.asarray(temperature, float)
    a, b, e = STEADMAN_VAPOUR
    vapour = np.asarray(humidity, float) / 100 * e * np.exp(a * temperature / (b + temperature))
    per_vapour, per_wind, constant = STEADMAN
    return temperature + per_vapour * vapour + per_wind * np.asarray(wind_speed, float) + constant


def wind_components(speed: npt.ArrayLike, direction: npt.ArrayLike) -> tuple[npt.NDArray, npt.NDArray]:
    """Return the components towards east (u) and north (v), m/s, of a wind *from* `direction`, degrees.

    A calm (speed 0) has components 0, also without a direction.
    Source: WMO-No. 8, Guide to Instruments and Methods of Observation, volume I, chapter 5.
    """
    speed, direction = np.asarray(speed, float), np.asarray(direction, float)
    radians = np.deg2rad(np.where(speed == 0, 0.0, direction))
    return -speed * np.sin(radians), -speed * np.cos(radians)


def wind_direction(u: npt.ArrayLike, v: npt.ArrayLike) -> npt.NDArray:
    """Return the direction, degrees [0, 360), from which a wind with these components blows; NaN in a calm."""
    u, v = np.asarray(u, float), np.asarray(v, float)
    return np.where((u == 0) & (v == 0), np.nan, np.rad2deg(np.arctan2(-u, -v)) % 360)


STANDARD_SEA_LEVEL = 1013.25
"""Pressure of the standard atmosphere at sea level, hPa. Source of these three: ISO 2533:1975."""
STANDARD_LAPSE = 2.25577e-5
"""Lapse rate divided by the temperature at sea level, 1/m."""
STANDARD_EXPONENT = 5.25588


def standard_pressure(elevation: float) -> float:
    """Return the pressure of the standard atmosphere, hPa, at an elevation in m. Source: ISO 2533:1975."""
    return float(STANDARD_SEA_LEVEL * (1 - STANDARD_LAPSE * elevation) ** STANDARD_EXPONENT)


def pressure_from_altimeter_setting(setting: float, elevation: float) -> float:
    """Return the station pressure, hPa, from the altimeter setting (QNH), hPa, and the elevation, m.

    The altimeter setting is the pressure for which an altimeter, which measures heights in the standard atmosphere,
    shows the elevation: p^n = Q^n - p0^n L h / T0, n = 1 / 5.25588. Source: WMO-No. 8, volume I, chapter 3 (QNH), with
    the standard atmosphere of ISO 2533; the same as the inverse of Q = (p^0.1903 + 1.313e-5 h)^5.255, in inHg and feet,
    of NOAA's ASOS user's guide (1998), which rounds the constants.
    """
    return _shifted(setting, -elevation)


def altimeter_setting(pressure: float, elevation: float) -> float:
    """Return the altimeter setting, hPa; the inverse of `pressure_from_altimeter_setting`."""
    return _shifted(pressure, elevation)


def _shifted(pressure: float, metres: float) -> float:
    """Return the pressure, hPa, so many metres lower in the standard atmosphere."""
    n = 1 / STANDARD_EXPONENT
    return float((pressure**n + STANDARD_SEA_LEVEL**n * STANDARD_LAPSE * metres) ** STANDARD_EXPONENT)

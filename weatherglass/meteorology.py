"""Formulas of the atmosphere, each with its source and the range it holds in."""

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
"""Of the temperature in the fictitious column of air below the station, K per metre."""
VAPOUR_CORRECTION = 0.12
"""Ch: what the moisture of that column adds to its virtual temperature, K per hPa."""
LOWEST, HIGHEST = -430.0, 750.0
"""Elevations, m, for which the reduction is recommended; above, the fictitious column means too little."""

STEADMAN = (0.33, -0.70, -4.00)
"""Weights of vapour pressure (hPa) and wind speed (m/s), and the constant, of the apparent temperature."""
STEADMAN_VAPOUR = (17.27, 237.7, 6.105)
"""Coefficients of the vapour pressure that go with it."""


def dew_point(temperature: npt.ArrayLike, humidity: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Dew point, °C, of air at `temperature`, °C, and relative `humidity`, %, over water; NaN at 0 % and below.

    Magnus' formula inverted. Source: WMO-No. 8, volume I, annex 4.B; good to 0.1 K between -45 and 60 °C.
    """
    temperature, humidity = np.asarray(temperature, float), np.asarray(humidity, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        wet = np.log(np.where(humidity > 0, humidity, np.nan) / 100)
    gamma = wet + MAGNUS_A * temperature / (MAGNUS_B + temperature)
    return MAGNUS_B * gamma / (MAGNUS_A - gamma)


def sea_level_pressure(
    pressure: npt.ArrayLike, temperature: npt.ArrayLike, humidity: npt.ArrayLike, elevation: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Station `pressure`, hPa, reduced to sea level with temperature, °C, humidity, %, and elevation, m.

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
    """What an adult walking in the shade feels, °C, from temperature, °C, humidity, %, and wind speed, m/s.

    Steadman's regression without radiation: T + 0.33 e - 0.70 v - 4.00, e the vapour pressure in hPa. Source:
    Steadman, "Norms of apparent temperature in Australia", Australian Meteorological Magazine 43, 1994, as the Bureau
    of Meteorology uses it. Fitted to temperatures of about -20 to 50 °C and winds of up to 20 m/s; beyond it is an
    extrapolation.
    """
    temperature = np.asarray(temperature, float)
    a, b, e = STEADMAN_VAPOUR
    vapour = np.asarray(humidity, float) / 100 * e * np.exp(a * temperature / (b + temperature))
    warmth, wind, constant = STEADMAN
    return temperature + warmth * vapour + wind * np.asarray(wind_speed, float) + constant


def wind_components(speed: npt.ArrayLike, direction: npt.ArrayLike) -> tuple[npt.NDArray, npt.NDArray]:
    """Components towards east (u) and north (v), m/s, of a wind that blows *from* `direction`, degrees.

    A calm (speed 0) has components 0 whatever its direction, even a missing one.
    Source: WMO-No. 8, Guide to Instruments and Methods of Observation, volume I, chapter 5.
    """
    speed, direction = np.asarray(speed, float), np.asarray(direction, float)
    radians = np.deg2rad(np.where(speed == 0, 0.0, direction))
    return -speed * np.sin(radians), -speed * np.cos(radians)


def wind_direction(u: npt.ArrayLike, v: npt.ArrayLike) -> npt.NDArray:
    """Degrees [0, 360) from which a wind with these components blows; NaN in a calm."""
    u, v = np.asarray(u, float), np.asarray(v, float)
    return np.where((u == 0) & (v == 0), np.nan, np.rad2deg(np.arctan2(-u, -v)) % 360)


def standard_pressure(elevation: float) -> float:
    """Return the pressure of the standard atmosphere, hPa, at an elevation in m. Source: ISO 2533:1975."""
    return float(1013.25 * (1 - 2.25577e-5 * elevation) ** 5.25588)

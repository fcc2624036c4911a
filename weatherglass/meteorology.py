"""Formulas of the atmosphere, each with its source and the range it holds in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MAGNUS_A = 17.62
MAGNUS_B = 243.12
"""Coefficients of Magnus' formula over water, B in °C. Source: WMO-No. 8, volume I, annex 4.B (after Sonntag 1990)."""


def dew_point(temperature: npt.ArrayLike, humidity: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Dew point, °C, of air at `temperature`, °C, and relative `humidity`, %, over water; NaN at 0 % and below.

    Magnus' formula inverted. Source: WMO-No. 8, volume I, annex 4.B; good to 0.1 K between -45 and 60 °C.
    """
    temperature, humidity = np.asarray(temperature, float), np.asarray(humidity, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        wet = np.log(np.where(humidity > 0, humidity, np.nan) / 100)
    gamma = wet + MAGNUS_A * temperature / (MAGNUS_B + temperature)
    return MAGNUS_B * gamma / (MAGNUS_A - gamma)

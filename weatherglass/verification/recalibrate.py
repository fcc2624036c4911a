"""Recalibrate the intervals of a version: forecast the last weeks again and compare with the observations."""

from __future__ import annotations

import numpy as np

from weatherglass.forecast.features import PAST_HOURS
from weatherglass.forecast.forecaster import Forecaster
from weatherglass.forecast.interval_factors import (
    MIN_DAYS,
    WINDOW_DAYS,
    IntervalFactors,
    interval_factors,
    normalized_errors,
)
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS
from weatherglass.verification.hindcast import forecasts
from weatherglass.verification.score_rows import errors


def first_hour(last: np.datetime64, trained_until: np.datetime64 | None) -> np.datetime64 | None:
    """First hour of the observations needed to recalibrate up to the hour `last`; None if there are too few days.

    Hours up to `trained_until`, the last hour of the training data, are not used. The result lies before the first base
    hour by the hours of past that a forecast needs.
    """
    base = last - np.timedelta64(24 * WINDOW_DAYS + LEADS[-1], "h")
    if trained_until is not None:
        base = max(base, trained_until + np.timedelta64(1, "h"))
    return base - np.timedelta64(PAST_HOURS, "h") if last - base >= np.timedelta64(24 * MIN_DAYS, "h") else None


def recalibrate(model: Forecaster, observed: HourGrid) -> IntervalFactors:
    """Scale factors of the half-widths by station, from a grid that begins at `first_hour`.

    Args:
        model: forecasts with the intervals of its training.

    Returns:
        Empty if there are too few observations.
    """
    issued = forecasts(model, "", observed)
    valid = issued.values - errors(issued, observed)
    normalized = normalized_errors(issued.values, issued.lower, issued.upper, valid)
    return interval_factors(issued.station_ids, issued.base, normalized, observed.hours[-1])

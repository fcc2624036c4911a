"""Recalibrate a version: forecast the last weeks again and compare with the observations."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import numpy as np

from weatherglass.forecast.error_window import MIN_DAYS, WINDOW_DAYS
from weatherglass.forecast.features import PAST_HOURS
from weatherglass.forecast.forecaster import Forecaster
from weatherglass.forecast.recalibration import Forecasts, StationRecalibration, estimate
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS
from weatherglass.verification.hindcast import forecasts, has_base_hours
from weatherglass.verification.score_rows import errors

COMPARABLE_DAYS = 14
"""Days of errors after which the correction of a version has nine tenths of its size, as that of an older version."""


def first_hour(last: np.datetime64, trained_until: np.datetime64 | None) -> np.datetime64 | None:
    """First hour of the observations needed to recalibrate up to the hour `last`; None if there are too few days.

    Hours up to `trained_until`, the last hour of the training data, are not used. The result lies before the first base
    hour by the hours of past that a forecast needs.
    """
    base = last - np.timedelta64(24 * WINDOW_DAYS + LEADS[-1], "h")
    if trained_until is not None:
        base = max(base, trained_until + np.timedelta64(1, "h"))
    return base - np.timedelta64(PAST_HOURS, "h") if last - base >= np.timedelta64(24 * MIN_DAYS, "h") else None


def first_comparable_day(trained_until: Iterable[np.datetime64 | None]) -> date | None:
    """First UTC day of valid times on which all versions are recalibrated with `COMPARABLE_DAYS` of errors.

    Before, an older version has the advantage of a larger correction. A forecast is recalibrated with the errors up to
    the UTC day of its base hour, and is valid up to a day later.

    Args:
        trained_until: last hour of each version's training data, UTC; None if unknown.

    Returns:
        None if all hours are unknown.
    """
    known = [hour for hour in trained_until if hour is not None]
    if not known:
        return None
    next_day: date = (max(known) + np.timedelta64(24, "h")).astype("datetime64[D]").item()
    return next_day + timedelta(days=COMPARABLE_DAYS + 1)


def recalibrate(model: Forecaster, observed: HourGrid) -> dict[str, StationRecalibration]:
    """Recalibration by station, from a grid that begins at `first_hour`; empty if there are too few observations.

    Args:
        model: forecasts as it was trained.
    """
    if not has_base_hours(observed):
        return {}
    issued = forecasts(model, "", observed)
    as_trained = Forecasts(issued.values, issued.lower, issued.upper)
    valid = issued.values - errors(issued, observed)
    return estimate(issued.station_ids, issued.base, as_trained, valid, observed.hours[-1])

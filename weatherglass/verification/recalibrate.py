"""The intervals of a version held to what came true: it forecasts the last weeks again, from what was known then."""

from __future__ import annotations

import numpy as np

from weatherglass.forecast.features import PAST_HOURS
from weatherglass.forecast.forecaster import Forecaster
from weatherglass.forecast.recalibration import DAYS, LEAST_DAYS, Widths, scores, widths_from
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS
from weatherglass.verification.hindcast import forecasts
from weatherglass.verification.scores import errors


def first_hour(last: np.datetime64, learnt: np.datetime64 | None) -> np.datetime64 | None:
    """From where on the truth is wanted up to hour `last`; None while it would tell nothing.

    Hours that the version has learnt from, up to `learnt`, tell nothing of it. Before the first forecast lies what
    it looks back on.
    """
    base = last - np.timedelta64(24 * DAYS + LEADS[-1], "h")
    if learnt is not None:
        base = max(base, learnt + np.timedelta64(1, "h"))
    return base - np.timedelta64(PAST_HOURS, "h") if last - base >= np.timedelta64(24 * LEAST_DAYS, "h") else None


def recalibrate(model: Forecaster, came: HourGrid) -> Widths:
    """Factors of the half-widths of every station, from a grid that begins at `first_hour`.

    `model` forecasts with the intervals of its training. Empty while too little has come true.
    """
    made = forecasts(model, "", came)
    scored = scores(made.values, made.lower, made.upper, made.values - errors(made, came))
    return widths_from(made.station_ids, made.base, scored, came.hours[-1])

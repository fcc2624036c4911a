"""Recalibration in service: the errors of the last weeks correct the values and scale the intervals of a forecaster.

The verification estimates it once per UTC day, the inference actors load it from the store, and hindcasts and
evaluations repeat it day by day, with the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.forecaster import Forecast, Forecaster
from weatherglass.forecast.interval_factors import (
    LevelBounds,
    interval_factors,
    normalized_errors,
    scale_intervals,
    stack_factors,
)
from weatherglass.forecast.running_bias import running_bias, stack_bias
from weatherglass.forecast.variables import clip_to_limits
from weatherglass.history.grid import HourGrid

BLOCK_DAYS = 5
"""Days in a row whose errors are left out together: longer than a weather system takes to pass."""


class StationRecalibration(NamedTuple):
    """What is changed in the forecasts of a station.

    Attributes:
        bias: (leads, classes of the base hour, variables) what is subtracted from the values, in the variables' units.
        factors: (leads, variables, levels) factors of the half-widths.
    """

    bias: npt.NDArray[np.float64]
    factors: npt.NDArray[np.float64]


Recalibration = Mapping[str, StationRecalibration]
"""Station -> recalibration; the forecasts of a missing station stay as they are."""


class Forecasts(NamedTuple):
    """Values (n, leads, variables) and bounds of intervals, level -> (n, leads, variables)."""

    values: npt.NDArray
    lower: LevelBounds
    upper: LevelBounds


@dataclass(frozen=True)
class RecalibratedForecaster:
    """A `forecaster.Forecaster` that recalibrates the forecasts of another one."""

    forecaster: Forecaster
    recalibration: Recalibration

    def forecast(self, grid: HourGrid, rows: Sequence[int], base: Sequence[int]) -> Forecast:
        """See `forecaster.Forecaster`."""
        forecast = self.forecaster.forecast(grid, rows, base)
        original = Forecasts(forecast.values, forecast.lower, forecast.upper)
        values, lower, upper = apply(self.recalibration, forecast.station_ids, forecast.base_hours, original)
        return replace(forecast, values=values, lower=dict(lower), upper=dict(upper))


def estimate(
    station_ids: Sequence[str],
    base: npt.NDArray[np.datetime64],
    forecasts: Forecasts,
    observed: npt.NDArray,
    now: np.datetime64,
) -> dict[str, StationRecalibration]:
    """Estimate from the forecasts of an `error_window` among n forecasts.

    Args:
        station_ids: n.
        base: (n,) base hours, UTC.
        forecasts: without recalibration.
        observed: (n, leads, variables); NaN where missing.

    Returns:
        An entry for each station with a forecast in the window; empty if the window covers too few days.
    """
    values, lower, upper = forecasts
    bias = running_bias(station_ids, base, values - observed, now)
    # The errors of corrected values: a lower forecast has the same error as a higher observation.
    as_if = observed + _left_out_bias(station_ids, base, values - observed, now)
    factors = interval_factors(station_ids, base, normalized_errors(values, lower, upper, as_if), now)
    return {name: StationRecalibration(bias[name], factors[name]) for name in factors}


def _left_out_bias(
    station_ids: Sequence[str], base: npt.NDArray[np.datetime64], errors: npt.NDArray, now: np.datetime64
) -> npt.NDArray[np.float64]:
    """Return the bias of each case (n, leads, variables), estimated from the errors of other days.

    After a bias has been subtracted, the errors that it was estimated from are smaller than later ones.
    """
    half = base.astype("datetime64[D]").astype(np.int64) // BLOCK_DAYS % 2
    bias = np.zeros(errors.shape)
    for k in (0, 1):
        cases = np.flatnonzero(half == k)
        others = running_bias(station_ids, base, np.where((half == k)[:, None, None], np.nan, errors), now)
        bias[cases] = stack_bias(others, [station_ids[case] for case in cases.tolist()], base[cases])
    return bias


def apply(
    recalibration: Recalibration, station_ids: Sequence[str], base: npt.NDArray[np.datetime64], forecasts: Forecasts
) -> Forecasts:
    """Return n forecasts with a recalibration: values and intervals are moved, and the half-widths scaled.

    Args:
        station_ids: n.
        base: (n,) base hours, UTC.
    """
    values, lower, upper = forecasts
    entries = {name: recalibration[name] for name in set(station_ids) if name in recalibration}
    bias = stack_bias({name: entry.bias for name, entry in entries.items()}, station_ids, base)
    factors = stack_factors({name: entry.factors for name, entry in entries.items()}, station_ids)
    return Forecasts(clip_to_limits(values - bias), *scale_intervals(values, lower, upper, factors, bias))


def recalibrate_daily(
    station_ids: Sequence[str], base: npt.NDArray[np.datetime64], forecasts: Forecasts, observed: npt.NDArray
) -> Forecasts:
    """Return n forecasts as in service: each with the recalibration estimated at the first hour of its UTC day.

    Args:
        station_ids: n.
        base: (n,) base hours, UTC.
        forecasts: without recalibration.
        observed: (n, leads, variables); NaN where missing.
    """
    values = forecasts.values.copy()
    lower, upper = ({level: bound.copy() for level, bound in bounds.items()} for bounds in forecasts[1:])
    days = base.astype("datetime64[D]")
    for day in np.unique(days):
        cases = np.flatnonzero(days == day)
        recalibration = estimate(station_ids, base, forecasts, observed, day.astype("datetime64[h]"))
        original = Forecasts(
            forecasts.values[cases],
            {level: bound[cases] for level, bound in forecasts.lower.items()},
            {level: bound[cases] for level, bound in forecasts.upper.items()},
        )
        changed = apply(recalibration, [station_ids[case] for case in cases.tolist()], base[cases], original)
        values[cases] = changed.values
        for level in lower:
            lower[level][cases], upper[level][cases] = changed.lower[level], changed.upper[level]
    return Forecasts(values, lower, upper)

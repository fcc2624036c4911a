"""Persistence: the forecast that needs no training, with wide intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.forecaster import LEVELS, Forecast
from weatherglass.forecast.variables import clip_to_limits, model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.meteorology import standard_pressure
from weatherglass.records import LEADS, VARIABLES, Method
from weatherglass.stations import Station

HISTORY_HOURS = 72
"""Hours of own past that are counted in `Forecast.history_hours`."""

_SPREAD_LEADS = np.array([1, 3, 6, 9, 12, 15, 18, 21, 24])
_SPREAD = {
    0.8: np.array(
        [
            [1.5, 3.7, 6.5, 8.4, 9.1, 8.8, 7.4, 5.5, 4.3],
            [8.0, 15, 24, 30, 32, 31, 27, 22, 19],
            [1.0, 2.0, 4.0, 5.0, 6.0, 6.0, 7.0, 7.0, 8.0],
            [1.0, 2.0, 2.5, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0],
        ]
    ),
    0.9: np.array(
        [
            [2.2, 5.1, 8.6, 10.7, 11.5, 11.1, 9.5, 7.4, 6.3],
            [12.0, 21, 32, 39, 42, 41, 36, 31, 28],
            [1.0, 3.0, 6.0, 8.0, 9.0, 10.0, 11.0, 11.0, 12.0],
            [2.0, 3.0, 3.5, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0],
        ]
    ),
}
"""Quantiles of persistence's absolute error at `_SPREAD_LEADS`, rows as `VARIABLES`, measured over the 36 cities of
Kaggle's "Historical Hourly Weather Data" 2012-2017; for any other station they are an estimate."""

_BORROWED_HALF_WIDTH = np.array([20.0, 50.0, 100.0, 12.0])
"""Half-widths for a station that has not reported the variable, in the order of `VARIABLES`."""


def persistence_spread(level: float) -> npt.NDArray[np.float64]:
    """Return the half-widths (leads, variables) of persistence at a level of `LEVELS`."""
    return np.stack([np.interp(LEADS, _SPREAD_LEADS, row) for row in _SPREAD[level]], axis=1)


def history_hours(grid: HourGrid, rows: npt.NDArray[np.int64], base: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the number of hours (n,) with a temperature in the 72 hours that end with the base hour."""
    hours = base[:, None] - np.arange(HISTORY_HOURS)
    temperature = grid.values[rows[:, None], np.maximum(hours, 0), 0]
    return (np.isfinite(temperature) & (hours >= 0)).sum(axis=1)


class PersistenceForecaster:
    """A `forecaster.Forecaster` that repeats the newest value and needs neither training nor a known station.

    A variable that a station has not reported is the mean of the other stations' newest values, or the value of the
    standard atmosphere if there are none, with a very wide interval.
    """

    def forecast(self, grid: HourGrid, rows: Sequence[int], base: Sequence[int]) -> Forecast:
        """See `forecaster.Forecaster`; a station needs no past."""
        station_rows, base_hours = np.asarray(rows, dtype=np.int64), np.asarray(base, dtype=np.int64)
        newest, own = _newest_values(grid, station_rows, base_hours)
        values = np.repeat(newest[:, None, :], len(LEADS), axis=1)
        lower, upper = {}, {}
        for level in LEVELS:
            spread = np.where(own[:, None, :], persistence_spread(level), _BORROWED_HALF_WIDTH)
            lower[level], upper[level] = clip_to_limits(values - spread), clip_to_limits(values + spread)
        return Forecast(
            tuple(grid.stations[row].station_id for row in station_rows),
            grid.hours_at(base_hours),
            values,
            lower,
            upper,
            (Method.PERSISTENCE,) * len(station_rows),
            history_hours(grid, station_rows, base_hours),
        )


def _newest_values(
    grid: HourGrid, rows: npt.NDArray[np.int64], base: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the newest values (n, variables) at or before each base hour and whether they are the station's own."""
    values = np.empty((len(rows), len(VARIABLES)))
    own = np.empty(values.shape, dtype=bool)
    for hour in np.unique(base):
        hours = slice(max(0, hour + 1 - HISTORY_HOURS), hour + 1)
        past = model_variables(grid.values[:, hours])[:, ::-1, : len(VARIABLES)]
        known = np.isfinite(past)
        newest = np.take_along_axis(past, known.argmax(axis=1)[:, None, :], axis=1)[:, 0].astype(np.float64)
        reported = np.isfinite(newest)
        count = reported.sum(axis=0)
        mean = np.where(count > 0, np.where(reported, newest, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
        for i in np.flatnonzero(base == hour):
            borrowed = np.where(np.isfinite(mean), mean, _standard_atmosphere(grid.stations[rows[i]]))
            own[i] = reported[rows[i]]
            values[i] = np.where(own[i], newest[rows[i]], borrowed)
    return clip_to_limits(values), own


def _standard_atmosphere(station: Station) -> npt.NDArray[np.float64]:
    """Return typical values (variables,), with the standard pressure at the elevation (sea level if unknown)."""
    return np.array([15.0, 70.0, standard_pressure(station.elevation or 0.0), 3.0])

"""The recent errors of guidance at a station: what tells whether it can be used, and how it is corrected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.variables import model_variables
from weatherglass.guidance.known_runs import PAST_HOURS, KnownGuidance
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES

Array = npt.NDArray[np.float64]

CHECKED_HOURS = 6
"""Hours up to the base hour whose errors decide whether guidance is used."""
MIN_CHECKED = 3
"""Known errors among these that are needed."""
RECHECKED_HOURS = 24
"""Hours up to the base hour at each of which guidance must have been usable: after an exclusion it needs as many good
hours, because a fault can be invisible at some hours of the day."""
MAX_RATIO = 4.0
"""Guidance is not used if a checked error is more than this multiple of the usual one."""
MAX_DAY_RATIO = 2.0
"""The same for the mean absolute error of the last day after a correction by the days before."""
MAX_UNUSUAL = 1
"""Variables with unusual errors above which none of a model is used: the run is shifted, frozen or of another place."""
LEVEL_PRIOR_HOURS = 12.0
"""Hours without an error by which the mean error is shrunk."""
CYCLE_PRIOR_HOURS = 5.0
"""The same for the mean error of an hour of the day."""
CYCLE_WIDTH = 2
"""Hours before and after an hour of the day whose errors count as those of this hour."""
NEWEST_HOURS = 3
"""Hours up to the base hour among which the newest error is taken; it counts as 0 without one."""
REGRESSORS = ("difference", "level", "cycle", "newest")


@dataclass(frozen=True)
class UsableGuidance:
    """Guidance for n forecasts.

    Attributes:
        regressors: (n, leads, variables, REGRESSORS) in the unit of the variable, see `regressors`.
        usable: (n, variables).
        used: (n, models) models that take part in at least one usable variable.
    """

    regressors: Array
    usable: npt.NDArray[np.bool_]
    used: npt.NDArray[np.bool_]


def observed_past(grid: HourGrid, rows: npt.NDArray[np.int64], base: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """(n, PAST_HOURS, variables) observations up to the base hours; NaN where missing or outside the grid."""
    columns = base[:, None] - np.arange(PAST_HOURS - 1, -1, -1)
    inside = (columns >= 0) & (columns < grid.values.shape[1])
    values = grid.values[rows[:, None], np.clip(columns, 0, grid.values.shape[1] - 1)]
    return np.where(inside[..., None], model_variables(values)[..., : len(VARIABLES)], np.float32(np.nan))


def checked_errors(error: Array) -> Array:
    """Mean absolute errors (..., RECHECKED_HOURS, variables) of the `CHECKED_HOURS` up to each of the last hours.

    Without the mean error of the hours before these, so that a fault is not taken for the error of the site. NaN where
    too few are known.

    Args:
        error: (..., PAST_HOURS, variables) observation minus guidance, NaN where unknown.
    """
    checked = []
    for end in range(PAST_HOURS - RECHECKED_HOURS + 1, PAST_HOURS + 1):
        begin = end - CHECKED_HOURS
        departure = np.abs(error[..., begin:end, :] - _level(error[..., :begin, :])[..., None, :])
        checked.append(_mean(departure, MIN_CHECKED))
    return np.stack(checked, axis=-2)


def day_error(error: Array) -> Array:
    """Mean absolute error (..., variables) of the last day, corrected by the days before; NaN if too few are known.

    The correction is the mean error, and that of the hour of the day.

    Args:
        error: see `checked_errors`.
    """
    before = error[..., :-24, :]
    level = _level(before)[..., None, :]
    days = (before - level).reshape(*before.shape[:-2], -1, 24, before.shape[-1])
    cycle = np.nansum(days, axis=-3) / (np.isfinite(days).sum(axis=-3) + 1)
    return _mean(np.abs(error[..., -24:, :] - level - cycle), MIN_CHECKED)


def _is_usual(error: Array, usual: Array) -> npt.NDArray[np.bool_]:
    """Whether the errors (..., PAST_HOURS, variables) are known and like the usual ones (..., variables)."""
    checked = checked_errors(error)
    unusual = (checked > MAX_RATIO * usual).any(axis=-2) | (day_error(error) > MAX_DAY_RATIO * usual)
    trusted = unusual.sum(axis=-1, keepdims=True) <= MAX_UNUSUAL
    return np.asarray(np.isfinite(checked[..., -1, :]) & ~unusual & trusted)


def _mean(values: Array, at_least: int) -> Array:
    """Mean over the hours (..., variables); NaN if fewer are known."""
    count = np.isfinite(values).sum(axis=-2)
    return np.where(count >= at_least, np.nansum(values, axis=-2) / np.maximum(count, 1), np.nan)


def combine_models(
    known: KnownGuidance, observed: npt.NDArray[np.float32], forecast: Array, usual: Array
) -> UsableGuidance:
    """Combine the models that are usable, with weights from their errors at the station, into regressors.

    A model is usable for a variable if it has a value for each lead, and if its last errors are like the usual ones.

    Args:
        observed: (n, PAST_HOURS, variables), see `observed_past`.
        forecast: (n, leads, variables) of the station alone.
        usual: (variables,) typical `checked_errors`; infinite accepts all.
    """
    error = observed[:, None].astype(np.float64) - known.past
    usable = np.isfinite(known.ahead).all(axis=2) & _is_usual(error, usual)
    square = np.nansum(error**2, axis=2) / np.maximum(np.isfinite(error).sum(axis=2), 1)
    weight = usable / np.maximum(square, 1e-3)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    ahead = (weight[:, :, None] * np.where(usable[:, :, None], known.ahead, 0.0)).sum(axis=1)
    mean_error = _weighted(error, weight)
    by_variable, by_model = np.asarray(usable.any(axis=1)), np.asarray(usable.any(axis=2))
    return UsableGuidance(regressors(ahead - forecast, mean_error), by_variable, by_model)


def regressors(difference: Array, error: Array) -> Array:
    """(n, leads, variables, REGRESSORS) of the error of a station's own forecast.

    These are the difference of the guidance from that forecast; the mean error of the guidance; how much more it is at
    the hour of the day; and how much more the newest error is. The means are shrunk towards 0.

    Args:
        difference: (n, leads, variables).
        error: (n, PAST_HOURS, variables) of the guidance; NaN where unknown.
    """
    level = _level(error)
    departure = error - level[:, None]
    padded = np.concatenate([departure, np.full((len(error), CYCLE_WIDTH, error.shape[2]), np.nan)], axis=1)
    at = PAST_HOURS - 1 + np.array(LEADS)[:, None, None] - 24 * np.arange(1, PAST_HOURS // 24 + 1)[:, None]
    at = (at + np.arange(-CYCLE_WIDTH, CYCLE_WIDTH + 1)).reshape(len(LEADS), -1)
    same_hour = np.where((at >= 0)[None, :, :, None], padded[:, np.maximum(at, 0)], np.nan)
    cycle = np.nansum(same_hour, axis=2) / (np.isfinite(same_hour).sum(axis=2) + CYCLE_PRIOR_HOURS)
    newest = _newest(departure) - cycle[:, -1]  # the longest lead has the hour of the day of the base hour
    columns = (difference, level[:, None], cycle, np.nan_to_num(newest)[:, None])
    return np.stack([np.broadcast_to(column, difference.shape) for column in columns], axis=-1)


def _level(error: Array) -> Array:
    """Shrunk mean over the hours (..., variables)."""
    return np.asarray(np.nansum(error, axis=-2) / (np.isfinite(error).sum(axis=-2) + LEVEL_PRIOR_HOURS))


def _newest(error: Array) -> Array:
    """The newest known error (n, variables) of the `NEWEST_HOURS`, NaN without one."""
    newest = np.full((len(error), error.shape[2]), np.nan)
    for hour in range(-NEWEST_HOURS, 0):
        newest = np.where(np.isfinite(error[:, hour]), error[:, hour], newest)
    return newest


def _weighted(error: Array, weight: Array) -> Array:
    """Mean error (n, PAST_HOURS, variables) over the models that have one; NaN without any."""
    known = np.isfinite(error) & (weight[:, :, None] > 0)
    share = np.where(known, weight[:, :, None], 0.0)
    total = share.sum(axis=1)
    return np.where(total > 0, np.nansum(share * np.nan_to_num(error), axis=1) / np.maximum(total, 1e-12), np.nan)

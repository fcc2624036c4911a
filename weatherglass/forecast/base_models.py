"""Models that the boosted trees build on: climatology, damped anomaly and spatial regression, fitted together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.forecast import climatology, damped_anomaly
from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.damped_anomaly import DampedAnomaly
from weatherglass.forecast.features import model_inputs
from weatherglass.forecast.spatial_regression import SpatialRegression
from weatherglass.forecast.spatial_regression_fit import PENALTIES, SpatialRegressionFit
from weatherglass.forecast.splits import base_hours, mask_hours, segments
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES

FOLDS = 3
MAX_FIT_HOURS = 18_000
"""Hours the regressions are fitted on, evenly spread. More hours add little because weather is autocorrelated."""
SHRINKAGE = np.linspace(0.0, 1.0, 11)
SELECTION_STATIONS = 6
SELECTION_STEP_HOURS = 13
"""Step between the left-out base hours on which penalties and shrinkage are chosen."""


@dataclass(frozen=True)
class BaseModels:
    """Models fitted on the training hours.

    Attributes:
        regression: fitted on all training hours.
        folds: pairs of a mask of hours and the regression fitted without them; the masks cover the training hours.
            The trees correct errors of the linear forecast, so they need its errors on hours it was not fitted on.
        penalties: (variables,) ridge penalties chosen on the left-out hours.
        shrinkage: (leads, variables) factors of the linear forecast chosen on the left-out hours.
    """

    climatology: Climatology
    damping: DampedAnomaly
    regression: SpatialRegression
    folds: tuple[tuple[npt.NDArray[np.bool_], SpatialRegression], ...]
    penalties: tuple[float, ...]
    shrinkage: npt.NDArray[np.float32]


def fit(grid: HourGrid, hours: npt.NDArray[np.bool_]) -> BaseModels:
    """Fit all models on the hours of a mask; choose penalties and shrinkage by cross-validation."""
    fitted_climatology, damping, regression_fit = _prepare(grid, hours)
    masks = _fold_masks(hours)
    sums = [regression_fit.sums(base_hours(mask)) for mask in masks]
    total = sum(sums[1:], start=sums[0])
    full = np.ones((len(LEADS), len(VARIABLES)), np.float32)
    stations = np.flatnonzero(regression_fit.fitted.any(axis=1))
    selection = stations[:: max(1, len(stations) // SELECTION_STATIONS)]
    errors = np.zeros((len(PENALTIES), len(VARIABLES)))
    for k, penalty in enumerate(PENALTIES):
        for mask, fold_sums in zip(masks, sums, strict=True):
            regression = regression_fit.solve(total - fold_sums, [penalty] * len(VARIABLES), full, selection.tolist())
            for forecast, truth in _held_out_increments(regression_fit, regression, mask, selection):
                errors[k] += np.abs(truth - forecast).sum(axis=(0, 1))
    penalties = tuple(PENALTIES[k] for k in errors.argmin(axis=0))
    unscaled = [regression_fit.solve(total - fold_sums, penalties, full) for fold_sums in sums]
    shrinkage = _choose_shrinkage(regression_fit, list(zip(masks, unscaled, strict=True)), stations)
    folds = tuple((mask, regression.scaled(shrinkage)) for mask, regression in zip(masks, unscaled, strict=True))
    regression = regression_fit.solve(total, penalties, shrinkage)
    return BaseModels(fitted_climatology, damping, regression, folds, penalties, shrinkage)


def refit(base: BaseModels, grid: HourGrid, hours: npt.NDArray[np.bool_]) -> BaseModels:
    """Fit all models on other hours with the penalties and the shrinkage of `base`; the result has no folds."""
    fitted_climatology, damping, regression_fit = _prepare(grid, hours)
    regression = regression_fit.solve(regression_fit.sums(base_hours(hours)), base.penalties, base.shrinkage)
    return BaseModels(fitted_climatology, damping, regression, (), base.penalties, base.shrinkage)


def _prepare(grid: HourGrid, hours: npt.NDArray[np.bool_]) -> tuple[Climatology, DampedAnomaly, SpatialRegressionFit]:
    known = mask_hours(grid, hours)
    fitted_climatology = climatology.fit(known)
    anomalies = model_inputs(known, fitted_climatology).anomalies
    damping = damped_anomaly.fit(anomalies)
    regression_fit = SpatialRegressionFit.from_anomalies(grid.stations, grid.hours, anomalies, damping, MAX_FIT_HOURS)
    return fitted_climatology, damping, regression_fit


def _fold_masks(hours: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.bool_]]:
    """Assign the segments of a mask to the folds in turn; a mask of few segments is cut into more."""
    masks = [np.zeros(len(hours), dtype=bool) for _ in range(FOLDS)]
    for i, segment in enumerate(segments(hours, 2 * FOLDS)):
        masks[i % FOLDS][segment] = True
    return masks


def _held_out_increments(
    regression_fit: SpatialRegressionFit,
    regression: SpatialRegression,
    mask: npt.NDArray[np.bool_],
    stations: Sequence[int] | npt.NDArray,
) -> list[tuple[npt.NDArray, npt.NDArray]]:
    """Return the forecast and true departure (n, leads, variables) from the damped anomaly for each station."""
    base = base_hours(mask)[::SELECTION_STEP_HOURS]
    if len(base) == 0:
        return []
    truth = regression_fit.residuals(base).reshape(len(base), -1, len(LEADS), len(VARIABLES))
    return [
        (
            np.nan_to_num(
                regression.increments(
                    regression_fit.field, np.full(len(base), row), base, regression_fit.hours[base], range(4)
                )
            ),
            truth[:, row],
        )
        for row in stations
    ]


def _choose_shrinkage(
    regression_fit: SpatialRegressionFit,
    folds: Sequence[tuple[npt.NDArray[np.bool_], SpatialRegression]],
    stations: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Return the factors (leads, variables) from `SHRINKAGE` with the least error on the left-out hours."""
    errors = np.zeros((len(SHRINKAGE), len(LEADS), len(VARIABLES)))
    for mask, regression in folds:
        for forecast, truth in _held_out_increments(regression_fit, regression, mask, stations):
            for k, factor in enumerate(SHRINKAGE):
                errors[k] += np.abs(truth - factor * forecast).sum(axis=0)
    return SHRINKAGE[errors.argmin(axis=0)].astype(np.float32)

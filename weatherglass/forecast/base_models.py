"""What all parts of a forecaster stand on: climatology, damped anomaly and the linear network, fitted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.forecast import climatology, damped_anomaly, features
from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.damped_anomaly import DampedAnomaly
from weatherglass.forecast.spatial_regression import SpatialRegression
from weatherglass.forecast.spatial_regression_fit import PENALTIES, SpatialRegressionFit
from weatherglass.forecast.splits import base_hours, mask_hours, segments
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES

FOLDS = 3
MAX_FIT_HOURS = 18_000
"""Hours the regressions are fitted on, evenly spread; more bring little, since weather keeps for days."""
SHRINKAGE = np.linspace(0.0, 1.0, 11)
SELECTION_STATIONS = 6
SELECTION_STEP_HOURS = 13
"""Every so many of the left-out hours are forecast to choose penalties and shrinkage."""


@dataclass(frozen=True)
class BaseModels:
    """Fitted on the hours of training.

    Attributes:
        network: on all hours of training.
        left_out: pairs of a mask of hours and the network fitted without them; the masks cover the hours of training.
            Trees that correct the linear forecast must learn its errors on hours it has not seen.
        penalties, shrinkage: chosen on the left-out hours, for a later fit on more hours.
    """

    climatology: Climatology
    damping: DampedAnomaly
    network: SpatialRegression
    left_out: tuple[tuple[npt.NDArray[np.bool_], SpatialRegression], ...]
    penalties: tuple[float, ...]
    shrinkage: npt.NDArray[np.float32]


def fit(grid: HourGrid, hours: npt.NDArray[np.bool_]) -> BaseModels:
    """Fit on the hours of a mask, choosing penalties and shrinkage on blocks of them that are left out."""
    known = mask_hours(grid, hours)
    usual = climatology.fit(known)
    anomalies = features.model_inputs(known, usual).anomalies
    damping = damped_anomaly.fit(anomalies)
    regression = SpatialRegressionFit.of(grid.stations, grid.start, anomalies, damping, MAX_FIT_HOURS)
    masks = _fold_masks(hours)
    sums = [regression.sums(base_hours(mask)) for mask in masks]
    total = sum(sums[1:], start=sums[0])
    full = np.ones((len(LEADS), len(VARIABLES)), np.float32)
    stations = np.flatnonzero(regression.known.any(axis=1))
    trial = stations[:: max(1, len(stations) // SELECTION_STATIONS)]
    errors = np.zeros((len(PENALTIES), len(VARIABLES)))
    for k, penalty in enumerate(PENALTIES):
        for mask, part in zip(masks, sums, strict=True):
            made = regression.solve(total - part, [penalty] * len(VARIABLES), full, trial.tolist())
            for answer, truth in _held_out_increments(regression, made, mask, trial):
                errors[k] += np.abs(truth - answer).sum(axis=(0, 1))
    penalties = tuple(PENALTIES[k] for k in errors.argmin(axis=0))
    plain = [regression.solve(total - part, penalties, full) for part in sums]
    shrinkage = _choose_shrinkage(regression, list(zip(masks, plain, strict=True)), stations)
    left_out = tuple((mask, made.shrunk(shrinkage)) for mask, made in zip(masks, plain, strict=True))
    network = regression.solve(total, penalties, shrinkage)
    return BaseModels(usual, damping, network, left_out, penalties, shrinkage)


def refit(ground: BaseModels, grid: HourGrid, hours: npt.NDArray[np.bool_]) -> BaseModels:
    """The same with climatology, damping and network fitted on other hours; what was chosen before stays chosen."""
    known = mask_hours(grid, hours)
    usual = climatology.fit(known)
    anomalies = features.model_inputs(known, usual).anomalies
    damping = damped_anomaly.fit(anomalies)
    regression = SpatialRegressionFit.of(grid.stations, grid.start, anomalies, damping, MAX_FIT_HOURS)
    network = regression.solve(regression.sums(base_hours(hours)), ground.penalties, ground.shrinkage)
    return BaseModels(usual, damping, network, (), ground.penalties, ground.shrinkage)


def _fold_masks(hours: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.bool_]]:
    """The stretches of the mask dealt out to the folds in turn; a mask of few stretches is cut into more."""
    parts = segments(hours, 2 * FOLDS)
    made = [np.zeros(len(hours), dtype=bool) for _ in range(FOLDS)]
    for i, part in enumerate(parts):
        made[i % FOLDS][part] = True
    return made


def _held_out_increments(
    regression: SpatialRegressionFit,
    network: SpatialRegression,
    mask: npt.NDArray[np.bool_],
    stations: Sequence[int] | npt.NDArray,
) -> list[tuple[npt.NDArray, npt.NDArray]]:
    """Forecast and truth (n, leads, variables), beyond the damped anomaly, of each station on left-out hours."""
    at = base_hours(mask)[::SELECTION_STEP_HOURS]
    if len(at) == 0:
        return []
    truth = regression.residuals(at).reshape(len(at), -1, len(LEADS), len(VARIABLES))
    return [
        (
            np.nan_to_num(
                network.increments(regression.field, np.full(len(at), row), at, regression.start + at, range(4))
            ),
            truth[:, row],
        )
        for row in stations
    ]


def _choose_shrinkage(
    regression: SpatialRegressionFit,
    left_out: Sequence[tuple[npt.NDArray[np.bool_], SpatialRegression]],
    stations: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """By which factor (leads, variables) of `SHRINKAGE` the regressions err least on the hours they have not seen."""
    errors = np.zeros((len(SHRINKAGE), len(LEADS), len(VARIABLES)))
    for mask, network in left_out:
        for answer, truth in _held_out_increments(regression, network, mask, stations):
            for k, factor in enumerate(SHRINKAGE):
                errors[k] += np.abs(truth - factor * answer).sum(axis=0)
    return SHRINKAGE[errors.argmin(axis=0)].astype(np.float32)

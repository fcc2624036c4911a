"""Factors that widen the intervals for seasons that a short record does not cover.

The calibration hours of a record shorter than two years come from the seasons in the record, but the coming weeks may
belong to another season. The additional error is estimated by leaving out whole thirds of the record: climatology,
damping and regression are fitted without a third, and their errors in it are compared with those in blocks whose season
is covered (leave-cluster-out validation: Roberts et al. 2017, Ecography 40, 913-929).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from weatherglass.forecast import base_models
from weatherglass.forecast.base_models import BaseModels
from weatherglass.forecast.features import case_features, model_inputs
from weatherglass.forecast.splits import base_hours
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES

THIRDS = 3
STEP_HOURS = 7
QUANTILE = 0.85
MAX_FACTOR = 2.5


def widening_factors(grid: HourGrid, hours: npt.NDArray[np.bool_], base: BaseModels) -> npt.NDArray[np.float64]:
    """Return factors (leads, variables) of the half-width, from 1 to `MAX_FACTOR`.

    The third with the largest errors determines the factor, because the coming season may also be a stormy one.

    Args:
        hours: all hours that may be used for fitting.
    """
    known = np.flatnonzero(hours)
    cuts = np.linspace(known[0], known[-1] + 1, THIRDS + 1).astype(int)
    hour = np.arange(len(hours))
    uncovered = []
    for begin, end in pairwise(cuts):
        third = hours & (hour >= begin) & (hour < end)
        fitted = base_models.refit(base, grid, hours & ~third)
        uncovered.append(_quantiles(list(_errors(grid, third, fitted))))
    covered: list[npt.NDArray] = []
    for mask, regression in base.folds:
        covered.extend(_errors(grid, mask, replace(base, regression=regression)))
    ratio = np.fmax.reduce(uncovered) / _quantiles(covered)
    return np.asarray(np.nan_to_num(np.clip(ratio, 1.0, MAX_FACTOR), nan=1.0))


def _errors(grid: HourGrid, hours: npt.NDArray[np.bool_], fitted: BaseModels) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the absolute errors (n, leads, variables) of the base models in these hours, one station at a time."""
    inputs = model_inputs(grid, fitted.climatology, regression=fitted.regression)
    base = base_hours(hours)[::STEP_HOURS]
    for station in range(len(grid.stations)):
        features = case_features(inputs, fitted.damping, np.full(len(base), station), base)
        truth = inputs.values[station, base[:, None] + np.array(LEADS), : len(VARIABLES)]
        yield np.abs(truth - features.normal - features.damped - np.nan_to_num(features.linear))


def _quantiles(station_errors: list[npt.NDArray]) -> npt.NDArray[np.float64]:
    """Return the `QUANTILE` (leads, variables) of all cases at each lead and the two leads before and after it."""
    errors = np.concatenate(station_errors)
    quantiles = np.full((len(LEADS), len(VARIABLES)), np.nan)
    for lead in range(len(LEADS)):
        for variable in range(len(VARIABLES)):
            known = errors[:, max(0, lead - 2) : lead + 3, variable]
            known = known[np.isfinite(known)]
            if len(known):
                quantiles[lead, variable] = np.quantile(known, QUANTILE)
    return quantiles

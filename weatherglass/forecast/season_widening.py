"""How much wider intervals must be in a season that a short record has not seen.

A record of less than two years has blocks of every season it knows among those it calibrates on, but the coming weeks
may be of a season it does not know. What that costs is measured by leaving out whole thirds of the record: climatology,
damping and network are fitted without a third, and their errors in it compared with those in blocks whose season is
known (leave-cluster-out validation: Roberts et al. 2017, Ecography 40, 913-929).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from weatherglass.forecast import base_models, features
from weatherglass.forecast.base_models import BaseModels
from weatherglass.forecast.splits import base_hours
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES

THIRDS = 3
STEP_HOURS = 7
QUANTILE = 0.85
MAX_FACTOR = 2.5


def widening_factors(grid: HourGrid, hours: npt.NDArray[np.bool_], base: BaseModels) -> npt.NDArray[np.float64]:
    """Factor (leads, variables) of the half-width, from 1 to `MAX_FACTOR`; `hours` is all that may be learnt from.

    It is that of the third with the widest errors: whether a stormy season comes is not known either.
    """
    known = np.flatnonzero(hours)
    cuts = np.linspace(known[0], known[-1] + 1, THIRDS + 1).astype(int)
    at = np.arange(len(hours))
    unseen = []
    for begin, end in pairwise(cuts):
        third = hours & (at >= begin) & (at < end)
        without = base_models.refit(base, grid, hours & ~third)
        unseen.append(_quantile(list(_errors(grid, third, without))))
    seen: list[npt.NDArray] = []
    for mask, network in base.left_out:
        fold = BaseModels(base.climatology, base.damping, network, (), base.penalties, base.shrinkage)
        seen.extend(_errors(grid, mask, fold))
    ratio = np.fmax.reduce(unseen) / _quantile(seen)
    return np.asarray(np.nan_to_num(np.clip(ratio, 1.0, MAX_FACTOR), nan=1.0))


def _errors(grid: HourGrid, hours: npt.NDArray[np.bool_], fitted: BaseModels) -> Iterator[npt.NDArray[np.float32]]:
    """Absolute errors (n, leads, variables) of damped anomaly and network in these hours, a station at a time."""
    seen = features.model_inputs(grid, fitted.climatology, network=fitted.network)
    when = base_hours(hours)[::STEP_HOURS]
    for station in range(len(grid.stations)):
        made = features.case_features(seen, fitted.damping, np.full(len(when), station), when)
        truth = seen.present[station, when[:, None] + np.array(LEADS), : len(VARIABLES)]
        yield np.abs(truth - made.normal - made.damped - np.nan_to_num(made.linear))


def _quantile(parts: list[npt.NDArray]) -> npt.NDArray[np.float64]:
    """Of all cases, the mean over neighbouring leads."""
    errors = np.concatenate(parts)
    made = np.full((len(LEADS), len(VARIABLES)), np.nan)
    for lead in range(len(LEADS)):
        for variable in range(len(VARIABLES)):
            known = errors[:, max(0, lead - 2) : lead + 3, variable]
            known = known[np.isfinite(known)]
            if len(known):
                made[lead, variable] = np.quantile(known, QUANTILE)
    return made

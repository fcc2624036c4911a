"""Whether what comes in still looks like what a model was trained on.

Compared are the anomalies from the model's own climatology, not the values, so that the season is no drift; and their
changes over three hours. PSI is the population stability index over ten equally likely bins of the reference (Siddiqi
2006, Credit Risk Scorecards; over 0.25 is commonly called a major shift), KS the Kolmogorov-Smirnov distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.history import HourGrid
from weatherglass.models.channels import channels
from weatherglass.models.climatology import Climatology
from weatherglass.records import VARIABLES

BINS = 10
CHANGE_HOURS = 3
MIN_VALUES = 500
"""Fewer values than this are not compared."""


@dataclass(frozen=True)
class Drift:
    """How far a feature has moved; `n` recent values were compared."""

    feature: str
    psi: float
    ks: float
    n: int


def features(grid: HourGrid, climatology: Climatology) -> dict[str, npt.NDArray[np.float64]]:
    """Known values of each feature: a variable's anomaly, and its change over `CHANGE_HOURS`."""
    rows = climatology.rows([station.station_id for station in grid.stations])
    present = channels(grid.values)[..., : len(VARIABLES)].astype(np.float64)
    anomalies = present - climatology.at(rows, grid.hours)[..., : len(VARIABLES)]
    made = {}
    for axis, variable in enumerate(VARIABLES):
        change = present[:, CHANGE_HOURS:, axis] - present[:, :-CHANGE_HOURS, axis]
        for name, values in ((variable, anomalies[..., axis]), (f"{variable}_change", change)):
            made[name] = values[np.isfinite(values)]
    return made


def psi(reference: npt.NDArray[np.float64], recent: npt.NDArray[np.float64]) -> float:
    """Population stability index, over the reference's deciles; empty bins count half a case."""
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    expected, found = (
        np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1).clip(0.5)
        for values in (reference, recent)
    )
    expected, found = expected / expected.sum(), found / found.sum()
    return float(((found - expected) * np.log(found / expected)).sum())


def ks(reference: npt.NDArray[np.float64], recent: npt.NDArray[np.float64]) -> float:
    """Largest distance between the two distribution functions."""
    both = np.sort(np.concatenate([reference, recent]))
    shares = [np.searchsorted(np.sort(values), both, side="right") / len(values) for values in (reference, recent)]
    return float(np.abs(shares[0] - shares[1]).max())


def compare(reference: HourGrid, recent: HourGrid, climatology: Climatology) -> list[Drift]:
    """Each feature that both have enough of."""
    before, now = features(reference, climatology), features(recent, climatology)
    return [
        Drift(name, psi(before[name], now[name]), ks(before[name], now[name]), len(now[name]))
        for name in before
        if min(len(before[name]), len(now[name])) >= MIN_VALUES
    ]

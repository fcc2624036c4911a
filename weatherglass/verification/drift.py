"""Whether what comes in still looks like what a model was trained on.

Compared are the anomalies from the model's own climatology, not the values, so that the season is no drift; and their
changes over three hours. PSI is the population stability index over ten equally likely bins of the reference (Siddiqi
2006, Credit Risk Scorecards; over 0.25 is commonly called a major shift), KS the Kolmogorov-Smirnov distance.

That limit is for independent cases. Hours of weather are not: a week under one high has a pressure unlike the month's,
though nothing is wrong. So the reference's own stretches, as long as the recent one, are held against the whole
reference too, and only what lies well beyond all of them is called drift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.variables import model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.records import VARIABLES

BINS = 10
CHANGE_HOURS = 3
MIN_VALUES = 200
"""Fewer values than this are not compared."""
PSI_LIMIT = 0.25
BEYOND = 1.5
"""Times the largest PSI of the reference's own stretches."""
MIN_STRETCHES, MAX_STRETCHES = 8, 60
"""With fewer of the reference's own stretches one cannot say what is usual; more are not looked at."""


@dataclass(frozen=True)
class Drift:
    """How far a feature has moved; `n` recent values were compared. A PSI above `psi_limit` is drift."""

    feature: str
    psi: float
    ks: float
    n: int
    psi_limit: float


def features(grid: HourGrid, climatology: Climatology) -> dict[str, npt.NDArray[np.float64]]:
    """Each feature as (stations, hours), NaN where unknown: a variable's anomaly, its change over `CHANGE_HOURS`."""
    rows = climatology.rows([station.station_id for station in grid.stations])
    present = model_variables(grid.values)[..., : len(VARIABLES)].astype(np.float64)
    anomalies = present - climatology.at(rows, grid.hours)[..., : len(VARIABLES)]
    change = np.full_like(present, np.nan)
    change[:, CHANGE_HOURS:] = present[:, CHANGE_HOURS:] - present[:, :-CHANGE_HOURS]
    made = {variable: anomalies[..., axis] for axis, variable in enumerate(VARIABLES)}
    return made | {f"{variable}_change": change[..., axis] for axis, variable in enumerate(VARIABLES)}


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
    """Each feature that both have enough of, and of which the reference shows what is usual."""
    before, now = features(reference, climatology), features(recent, climatology)
    hours = int(np.isfinite(recent.values).any(axis=(0, 2)).sum())
    found = []
    for name, values in now.items():
        own, all_known = known(values), known(before[name])
        if min(len(own), len(all_known)) < MIN_VALUES:
            continue
        usual = [psi(all_known, stretch) for stretch in stretches(before[name], hours)]
        if len(usual) >= MIN_STRETCHES:
            limit = max(PSI_LIMIT, BEYOND * max(usual))
            found.append(Drift(name, psi(all_known, own), ks(all_known, own), len(own), limit))
    return found


def stretches(values: npt.NDArray[np.float64], hours: int) -> list[npt.NDArray[np.float64]]:
    """The known values of stretches of so many hours, evenly over (stations, hours), of those at least half known."""
    begins = np.arange(0, values.shape[1] - hours + 1, hours)
    cut = [known(values[:, begin : begin + hours]) for begin in begins]
    most = max((len(stretch) for stretch in cut), default=0)
    full = [stretch for stretch in cut if len(stretch) > most / 2]
    return full[:: -(-len(full) // MAX_STRETCHES)] if full else []


def known(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The values that are there, in one dimension."""
    return values[np.isfinite(values)]

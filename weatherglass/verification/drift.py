"""Drift of the model inputs: compare recent observations with the training data.

Compared are anomalies from the climatology of the model, so that the season does not count as drift, and their changes
over three hours. PSI is the population stability index over ten equally likely bins of the reference (Siddiqi 2006,
Credit Risk Scorecards; above 0.25 is commonly called a major shift), KS the Kolmogorov-Smirnov distance.

The limit of 0.25 applies to independent cases, but hours of weather are correlated: the pressure of a week under one
high differs from that of the whole period without any fault. Therefore segments of the reference of the same length are
also compared with the whole reference, and the limit lies clearly above the largest PSI of these segments.
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
"""Minimum number of values for a comparison."""
PSI_LIMIT = 0.25
LIMIT_FACTOR = 1.5
"""The limit is at least this multiple of the largest PSI of the segments of the reference."""
MIN_SEGMENTS, MAX_SEGMENTS = 8, 60
"""Minimum number of segments to estimate the usual PSI, and maximum number of segments that are compared."""


@dataclass(frozen=True)
class FeatureDrift:
    """Drift of a feature over `n` recent values. A `psi` above `psi_limit` is drift."""

    feature: str
    psi: float
    ks: float
    n: int
    psi_limit: float


def features(grid: HourGrid, climatology: Climatology) -> dict[str, npt.NDArray[np.float64]]:
    """The anomaly of each variable and its change over `CHANGE_HOURS`, (stations, hours), NaN where unknown."""
    rows = climatology.rows([station.station_id for station in grid.stations])
    values = model_variables(grid.values)[..., : len(VARIABLES)].astype(np.float64)
    anomalies = values - climatology.at(rows, grid.hours)[..., : len(VARIABLES)]
    change = np.full_like(values, np.nan)
    change[:, CHANGE_HOURS:] = values[:, CHANGE_HOURS:] - values[:, :-CHANGE_HOURS]
    by_anomaly = {variable: anomalies[..., axis] for axis, variable in enumerate(VARIABLES)}
    return by_anomaly | {f"{variable}_change": change[..., axis] for axis, variable in enumerate(VARIABLES)}


def psi(reference: npt.NDArray[np.float64], recent: npt.NDArray[np.float64]) -> float:
    """Population stability index over the deciles of the reference; an empty bin counts as half a case."""
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    expected, actual = (
        np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1).clip(0.5)
        for values in (reference, recent)
    )
    expected, actual = expected / expected.sum(), actual / actual.sum()
    return float(((actual - expected) * np.log(actual / expected)).sum())


def ks(reference: npt.NDArray[np.float64], recent: npt.NDArray[np.float64]) -> float:
    """Kolmogorov-Smirnov distance: the largest difference between the two distribution functions."""
    both = np.sort(np.concatenate([reference, recent]))
    shares = [np.searchsorted(np.sort(values), both, side="right") / len(values) for values in (reference, recent)]
    return float(np.abs(shares[0] - shares[1]).max())


def compare(reference: HourGrid, recent: HourGrid, climatology: Climatology) -> list[FeatureDrift]:
    """Drift of every feature with enough values in both grids and enough segments in the reference."""
    before, now = features(reference, climatology), features(recent, climatology)
    hours = int(np.isfinite(recent.values).any(axis=(0, 2)).sum())
    drifts = []
    for name, values in now.items():
        recent_values, reference_values = known(values), known(before[name])
        if min(len(recent_values), len(reference_values)) < MIN_VALUES:
            continue
        usual = [psi(reference_values, segment) for segment in segments(before[name], hours)]
        if len(usual) < MIN_SEGMENTS:
            continue
        limit = max(PSI_LIMIT, LIMIT_FACTOR * max(usual))
        distance = ks(reference_values, recent_values)
        drifts.append(FeatureDrift(name, psi(reference_values, recent_values), distance, len(recent_values), limit))
    return drifts


def segments(values: npt.NDArray[np.float64], hours: int) -> list[npt.NDArray[np.float64]]:
    """Known values of segments of `hours` hours, from values (stations, hours).

    Segments with at most half as many values as the fullest one are left out. If there are more than `MAX_SEGMENTS`,
    every k-th is returned.
    """
    begins = np.arange(0, values.shape[1] - hours + 1, hours)
    all_segments = [known(values[:, begin : begin + hours]) for begin in begins]
    most = max((len(segment) for segment in all_segments), default=0)
    full = [segment for segment in all_segments if len(segment) > most / 2]
    return full[:: -(-len(full) // MAX_SEGMENTS)] if full else []


def known(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The finite values, in one dimension."""
    return values[np.isfinite(values)]

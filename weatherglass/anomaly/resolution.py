"""The resolution of a series, learned from its values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

DECIMALS = 4
"""Closer values are equal: rounding errors of conversions between units, and of single precision."""
MIN_VALUES = 3
"""Different values that are needed."""
USUAL_SHARE = 0.9
"""Share of the readings that have one of the usual values: the others may be interpolated, or reported with tenths."""
MAX_READINGS = 50_000


def resolution_of(series: npt.NDArray[np.floating]) -> float:
    """Return the usual difference between neighbouring values of a series (moments,); NaN if too few differ.

    It is the median difference of the usual values.
    """
    newest = series[np.isfinite(series)][-MAX_READINGS:]
    values, counts = np.unique(np.round(newest.astype(np.float64), DECIMALS), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    usual = np.sort(values[order[before < USUAL_SHARE * len(newest)]])
    return float(np.median(np.diff(usual))) if len(usual) >= MIN_VALUES else float("nan")


def resolutions(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the resolutions (..., variables) of series (..., moments, variables)."""
    return np.apply_along_axis(resolution_of, -2, values)

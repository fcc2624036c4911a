"""The resolution of a series: the smallest step between its values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MAX_VALUES = 20_000
RARE = 0.02
"""Share of the smallest steps that is ignored: single values may be interpolated or faulty."""


def smallest_step(series: npt.NDArray[np.float64]) -> float:
    """Return the smallest usual difference of two different values that follow each other, 0 without any.

    Args:
        series: (moments,); NaN where missing.
    """
    known = series[np.isfinite(series)]
    differences = np.abs(np.diff(known[: MAX_VALUES * 10]))
    differences = differences[differences > 1e-6]
    return float(np.quantile(differences, RARE)) if len(differences) else 0.0

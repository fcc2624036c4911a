"""Test whether one forecaster is better than another on the same held-out hours.

Errors of neighbouring hours and stations are correlated, because weather lasts for days. The test therefore uses the
mean differences of blocks of days: a paired, one-sided t-test, in the manner of Diebold and Mariano (1995), Comparing
Predictive Accuracy, J. Business & Economic Statistics 13, with blocks in place of a corrected variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.forecaster import Forecaster
from weatherglass.forecast.splits import base_hours
from weatherglass.forecast.variables import model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.records import VARIABLES
from weatherglass.verification.scores import SKILL_LEADS, absolute_error, block_index

CONFIDENCE = 0.95
MIN_BLOCKS = 5
CHUNK = 1_000
"""Cases per batch; limits the memory."""


@dataclass(frozen=True)
class HeldOutTest:
    """Relative errors (1 is the error of the scale) of a new and an old forecaster on the same cases.

    Attributes:
        new_error, old_error: mean over all cases.
        gain: old minus new error, mean over blocks.
        lower_bound: one-sided confidence bound of `gain` at `CONFIDENCE`.
        blocks: number of blocks of days.
    """

    new_error: float
    old_error: float
    gain: float
    lower_bound: float
    blocks: int

    @property
    def better(self) -> bool:
        """Whether the new forecaster is significantly better."""
        return self.blocks >= MIN_BLOCKS and self.lower_bound > 0

    @property
    def worse(self) -> bool:
        """Whether the new forecaster is significantly worse: the upper bound of `gain` is negative."""
        return self.blocks >= MIN_BLOCKS and 2 * self.gain - self.lower_bound < 0


def compare(
    grid: HourGrid,
    hours: npt.NDArray[np.bool_],
    new: Forecaster,
    old: Forecaster,
    scale: npt.NDArray[np.float64],
    max_cases: int,
) -> HeldOutTest:
    """Compare two forecasters on base hours within `hours`, spread evenly.

    Args:
        scale: (leads, variables) errors of a baseline; dividing by them makes variables comparable.
    """
    candidates = base_hours(hours)
    known = np.isfinite(grid.values[:, candidates, 0])
    step = max(1, int(np.ceil(known.sum() / max_cases)))
    step += step % 2 == 0  # an odd step visits at least eight hours of the day, among them night and day
    at, all_rows = np.nonzero(known.T[::step])
    all_base = candidates[::step][at]
    leads = np.array(SKILL_LEADS)
    case_errors: tuple[list[npt.NDArray], list[npt.NDArray]] = ([], [])
    for begin in range(0, len(all_base), CHUNK):
        rows, base = all_rows[begin : begin + CHUNK], all_base[begin : begin + CHUNK]
        observed = model_variables(grid.values[rows[:, None], base[:, None] + leads])[..., : len(VARIABLES)]
        errors = [
            absolute_error(forecaster.forecast(grid, rows.tolist(), base.tolist()).values[:, leads - 1], observed)
            for forecaster in (new, old)
        ]
        comparable = np.isfinite(errors[0]) & np.isfinite(errors[1])
        for means, error in zip(case_errors, errors, strict=True):
            relative = np.where(comparable, error / scale[leads - 1], 0)
            means.append(relative.sum(axis=(1, 2)) / np.maximum(comparable.sum(axis=(1, 2)), 1))
    return from_block_errors(block_index(all_base), np.concatenate(case_errors[0]), np.concatenate(case_errors[1]))


def from_block_errors(block: npt.NDArray[np.int64], new: npt.NDArray, old: npt.NDArray) -> HeldOutTest:
    """Test paired errors (n,) that belong to blocks (n,), numbered from 0 without gaps."""
    from scipy import special

    difference = np.bincount(block, old - new) / np.bincount(block)
    n = len(difference)
    standard_error = difference.std(ddof=1) / np.sqrt(n) if n > 1 else np.inf
    quantile = special.stdtrit(max(n - 1, 1), CONFIDENCE)
    gain = float(difference.mean())
    return HeldOutTest(float(new.mean()), float(old.mean()), gain, float(gain - quantile * standard_error), n)

"""Whether one forecaster is better than another beyond chance: the same hours, in blocks of days.

Errors of neighbouring hours and stations go together (weather lasts for days), so a difference counts once for each
block of days: a paired, one-sided t-test on the blocks' mean differences, in the manner of Diebold and Mariano (1995),
Comparing Predictive Accuracy, J. Business & Economic Statistics 13, with blocks in place of a corrected variance.
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
from weatherglass.verification.held_out_scores import SKILL_LEADS

BLOCK_HOURS = 5 * 24
"""Longer than a weather system takes to pass."""
CONFIDENCE = 0.95
MIN_BLOCKS = 5
CHUNK = 1_000


@dataclass(frozen=True)
class HeldOutTest:
    """Relative errors (1 is the scale's) of the new and the old forecaster on the same cases.

    Attributes:
        gain: by how much the new one's error is smaller, mean over blocks.
        margin: `gain` less what chance explains at `CONFIDENCE`; above 0 the new one is better.
        blocks: number of blocks of days.
    """

    new: float
    old: float
    gain: float
    margin: float
    blocks: int

    @property
    def better(self) -> bool:
        return self.blocks >= MIN_BLOCKS and self.margin > 0

    @property
    def worse(self) -> bool:
        return self.blocks >= MIN_BLOCKS and 2 * self.gain - self.margin < 0


def compare(
    grid: HourGrid,
    hours: npt.NDArray[np.bool_],
    new: Forecaster,
    old: Forecaster,
    scale: npt.NDArray[np.float64],
    max_cases: int,
) -> HeldOutTest:
    """Compare on base hours within `hours`, evenly spread.

    Args:
        scale: (leads, variables) errors of a baseline, which make those of the variables comparable.
    """
    candidates = base_hours(hours)
    known = np.isfinite(grid.values[:, candidates, 0])
    step = max(1, int(np.ceil(known.sum() / max_cases)))
    step += step % 2 == 0  # an odd step visits every hour of the day
    at, rows = np.nonzero(known.T[::step])
    base = candidates[::step][at]
    leads = np.array(SKILL_LEADS)
    errors: tuple[list[npt.NDArray], list[npt.NDArray]] = ([], [])
    for begin in range(0, len(base), CHUNK):
        where, when = rows[begin : begin + CHUNK], base[begin : begin + CHUNK]
        truth = model_variables(grid.values[where[:, None], when[:, None] + leads])[..., : len(VARIABLES)]
        both = [
            np.abs(one.forecast(grid, where.tolist(), when.tolist()).values[:, leads - 1] - truth) for one in (new, old)
        ]
        comparable = np.isfinite(both[0]) & np.isfinite(both[1])
        for kept, error in zip(errors, both, strict=True):
            relative = np.where(comparable, error / scale[leads - 1], 0)
            kept.append(relative.sum(axis=(1, 2)) / np.maximum(comparable.sum(axis=(1, 2)), 1))
    return of_blocks(base // BLOCK_HOURS, np.concatenate(errors[0]), np.concatenate(errors[1]))


def of_blocks(block: npt.NDArray[np.int64], new: npt.NDArray, old: npt.NDArray) -> HeldOutTest:
    """Compare paired errors (n,) that lie in blocks (n,)."""
    from scipy import special

    _, which = np.unique(block, return_inverse=True)
    count = np.bincount(which)
    difference = np.bincount(which, old - new) / count
    n = len(difference)
    spread = difference.std(ddof=1) / np.sqrt(n) if n > 1 else np.inf
    quantile = special.stdtrit(max(n - 1, 1), CONFIDENCE)
    gain = float(difference.mean())
    return HeldOutTest(float(new.mean()), float(old.mean()), gain, float(gain - quantile * spread), n)

"""Which hours train, which calibrate, which test: split by time, never at random."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.features import PAST_HOURS
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS

DAY = 24
TEST_SHARE = 0.15
PERIOD_DAYS = 80
"""A block of calibration in every so many days, so that the intervals know all seasons."""
CALIBRATION_SHARE = 0.25
LONG_YEARS = 1.6
SHORT_PERIOD_DAYS = 36
MIN_DAYS = 60
"""Less history than this is not worth a model."""


class HistoryTooShort(ValueError):
    """There is not enough history to train on and to test with."""


@dataclass(frozen=True)
class Split:
    """Masks over the hours of a grid, disjoint. A base hour belongs to a part if all it touches lies within the part.

    What a base hour touches reaches from `PAST_HOURS` before it to the longest lead after it, so between the base
    hours of two parts there is always a gap longer than the longest lead plus the longest lag.
    """

    train: npt.NDArray[np.bool_]
    calibrate: npt.NDArray[np.bool_]
    test: npt.NDArray[np.bool_]


def split(hours: int, test_share: float = TEST_SHARE) -> Split:
    """The last `test_share` test; of the rest, the end of every 80 days (36 in a short record) calibrates.

    Raises:
        HistoryTooShort: fewer than `MIN_DAYS` days.
    """
    if hours < MIN_DAYS * DAY:
        raise HistoryTooShort(
            f"the history spans {hours / DAY:.0f} days; training needs at least {MIN_DAYS}: prepare a longer history"
        )
    at = np.arange(hours)
    first_test = hours - int(hours * test_share)
    days = PERIOD_DAYS if is_long(first_test) else SHORT_PERIOD_DAYS
    periods = max(1, round(first_test / (days * DAY)))
    phase = (at * periods / first_test) % 1.0
    test = at >= first_test
    calibrate = ~test & (phase >= 1 - CALIBRATION_SHARE)
    return Split(~test & ~calibrate, calibrate, test)


def is_long(hours: int) -> bool:
    """Whether a record holds most seasons twice, so that the season can be told from the date."""
    return hours >= LONG_YEARS * 365.25 * DAY


def base_hours(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Base hours (grid indices) whose past and leads lie within the mask."""
    reach = PAST_HOURS + LEADS[-1] + 1
    inside = np.convolve(mask.astype(np.int64), np.ones(reach, dtype=np.int64), mode="valid") == reach
    return np.flatnonzero(inside) + PAST_HOURS


def segments(mask: npt.NDArray[np.bool_], least: int) -> list[slice]:
    """The unbroken stretches of a mask in order, each cut into equal ones until there are at least so many."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    made = [slice(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]
    pieces = -(-least // max(1, len(made)))
    cuts = [np.linspace(part.start, part.stop, pieces + 1).astype(int) for part in made]
    return [slice(int(a), int(b)) for cut in cuts for a, b in pairwise(cut)]


def mask_hours(grid: HourGrid, mask: npt.NDArray[np.bool_]) -> HourGrid:
    """The grid with every other hour missing."""
    return HourGrid(grid.stations, grid.start, np.where(mask[None, :, None], grid.values, np.float32(np.nan)))

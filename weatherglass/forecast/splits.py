"""Splitting a history by time into training, calibration and test hours."""

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
SHORT_PERIOD_DAYS = 36
"""Approximate period of the calibration blocks in a long and in a short record, so that they cover all seasons."""
CALIBRATION_SHARE = 0.25
"""Share of each period, at its end, that calibrates."""
LONG_YEARS = 1.6
"""Length from which a record is long, see `is_long`."""
MIN_DAYS = 60
"""Days of history that a training needs."""


class HistoryTooShort(ValueError):
    """The history is too short for a training and a test."""


@dataclass(frozen=True)
class Split:
    """Disjoint masks over the hours of a grid.

    A base hour belongs to a mask if all hours from `PAST_HOURS` before it to the longest lead after it do, so the base
    hours of two masks are separated by more than the longest lead plus the longest lag.
    """

    train: npt.NDArray[np.bool_]
    calibrate: npt.NDArray[np.bool_]
    test: npt.NDArray[np.bool_]


def split(hours: int, test_share: float = TEST_SHARE) -> Split:
    """Use the last `test_share` for the test; of the rest, the end of every 80 days (36 in a short record) calibrates.

    Raises:
        HistoryTooShort: fewer than `MIN_DAYS` days.
    """
    if hours < MIN_DAYS * DAY:
        raise HistoryTooShort(
            f"the history spans {hours / DAY:.0f} days; training requires {MIN_DAYS} days: prepare a longer history"
        )
    hour = np.arange(hours)
    first_test = hours - int(hours * test_share)
    days = PERIOD_DAYS if is_long(first_test) else SHORT_PERIOD_DAYS
    periods = max(1, round(first_test / (days * DAY)))
    phase = (hour * periods / first_test) % 1.0
    test = hour >= first_test
    calibrate = ~test & (phase >= 1 - CALIBRATION_SHARE)
    return Split(~test & ~calibrate, calibrate, test)


def is_long(hours: int) -> bool:
    """Return whether a record covers most seasons twice, so that the season does not identify the date."""
    return hours >= LONG_YEARS * 365.25 * DAY


def base_hours(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the base hours (grid indices) whose past and leads lie within the mask."""
    reach = PAST_HOURS + LEADS[-1] + 1
    inside = np.convolve(mask.astype(np.int64), np.ones(reach, dtype=np.int64), mode="valid") == reach
    return np.flatnonzero(inside) + PAST_HOURS


def segments(mask: npt.NDArray[np.bool_], min_count: int) -> list[slice]:
    """Return the contiguous segments of a mask, each cut into equal pieces so that there are at least `min_count`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    contiguous = edges.reshape(-1, 2)
    pieces = -(-min_count // max(1, len(contiguous)))
    cuts = [np.linspace(begin, end, pieces + 1).astype(int) for begin, end in contiguous]
    return [slice(int(begin), int(end)) for cut in cuts for begin, end in pairwise(cut)]


def mask_hours(grid: HourGrid, mask: npt.NDArray[np.bool_]) -> HourGrid:
    """Return the grid with all hours outside the mask set to NaN."""
    return HourGrid(grid.stations, grid.start, np.where(mask[None, :, None], grid.values, np.float32(np.nan)))

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


def split(grid: HourGrid, test_share: float = TEST_SHARE) -> Split:
    """Split every record of the grid: its last `test_share` is for the test; of the rest, the end of every 80 days
    (36 in a short history) calibrates.

    Each record is split alone, so the hours after a long gap take part in all three, and the split of the hours before
    it does not change as they grow. The test hours of a record that has grown were never in `train` or `calibrate`
    before, so a model of an earlier training can be tested on them.

    Raises:
        HistoryTooShort: fewer than `MIN_DAYS` days.
    """
    hours = sum(record.stop - record.start for record in grid.records)
    if hours < MIN_DAYS * DAY:
        raise HistoryTooShort(
            f"the history spans {hours / DAY:.0f} days; training requires {MIN_DAYS} days: prepare a longer history"
        )
    first_tests = [record.stop - int((record.stop - record.start) * test_share) for record in grid.records]
    before_tests = sum(first - record.start for first, record in zip(first_tests, grid.records, strict=True))
    days = PERIOD_DAYS if is_long(before_tests) else SHORT_PERIOD_DAYS
    train, calibrate, test = (np.zeros(grid.values.shape[1], dtype=bool) for _ in range(3))
    for record, first_test in zip(grid.records, first_tests, strict=True):
        length = first_test - record.start
        periods = max(1, round(length / (days * DAY)))
        phase = (np.arange(length) * periods / length) % 1.0
        calibrate[record.start : first_test] = phase >= 1 - CALIBRATION_SHARE
        train[record.start : first_test] = phase < 1 - CALIBRATION_SHARE
        test[first_test : record.stop] = True
    return Split(train, calibrate, test)


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
    return grid.with_values(np.where(mask[None, :, None], grid.values, np.float32(np.nan)))

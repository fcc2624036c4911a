"""The hour grid: hourly values of several stations on one time axis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from weatherglass.stations import Station

GRID_VARIABLES = ("temperature", "humidity", "pressure", "wind_u", "wind_v", "wind_speed")
"""The last axis of `HourGrid.values`. The wind is stored as components, which can be averaged and give the direction,
and also as speed, because many stations report only the speed."""

LONG_GAP_HOURS = 31 * 24
"""A gap without any value of any station that is longer than this is shortened to `KEPT_GAP_HOURS`."""
KEPT_GAP_HOURS = 8 * 24
"""Longer than all that a model computes across hours (the past, the leads, the look-back of the detector), so that
positions on the axis can be used as hours: nothing on one side of a gap reaches a value on the other side."""


@dataclass(frozen=True)
class HourGrid:
    """Hourly values of several stations on one time axis; the only input of the models.

    The axis is regular, except that most of a long gap is left out (a history that ends in 2017, live observations
    from 2026 on): whole days, so that positions 24 apart are the same hour of the day.

    Attributes:
        stations: the first axis of `values`.
        start: the first hour, `datetime64[h]`, UTC.
        values: float32 (stations, hours, 6), last axis as `GRID_VARIABLES`, in the units of the records; NaN is
            missing.
        gaps: (position, number) of hours that are left out before the position, ascending; the `KEPT_GAP_HOURS` around
            the position are missing.
    """

    stations: tuple[Station, ...]
    start: np.datetime64
    values: npt.NDArray[np.float32]
    gaps: tuple[tuple[int, int], ...] = ()

    @property
    def hours(self) -> npt.NDArray[np.datetime64]:
        """The time axis, `datetime64[h]`, UTC."""
        return self.hours_at(np.arange(self.values.shape[1]))

    @property
    def records(self) -> tuple[slice, ...]:
        """The positions of the records, which are the parts before, between and after the gaps."""
        half = KEPT_GAP_HOURS // 2
        edges = [0, *(edge for position, _ in self.gaps for edge in (position - half, position + half))]
        edges.append(self.values.shape[1])
        return tuple(slice(begin, end) for begin, end in zip(edges[::2], edges[1::2], strict=True))

    def hours_at(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.datetime64]:
        """Return the hours, `datetime64[h]`, UTC, of positions, which may lie outside the axis."""
        hours = self.start + positions
        for position, count in self.gaps:
            hours = np.where(positions < position, hours, hours + count)
        return hours

    def positions(self, hours: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
        """Return the positions of hours on the time axis; they may lie outside the axis.

        The position of an hour that is left out is one without values.
        """
        positions = (hours.astype("datetime64[h]") - self.start).astype(np.int64)
        for position, count in self.gaps:
            positions = np.where(positions < position, positions, np.maximum(positions - count, position - 1))
        return positions

    def index(self, hour: np.datetime64) -> int:
        """Return the position of one hour, see `positions`."""
        return int(self.positions(np.asarray(hour)))

    def part(self, begin: int, end: int | None = None) -> HourGrid:
        """Return the positions from `begin` to before `end`, with a view of the values."""
        end = self.values.shape[1] if end is None else end
        gaps = tuple((position - begin, count) for position, count in self.gaps if begin < position < end)
        skipped = sum(count for position, count in self.gaps if position <= begin)
        return HourGrid(self.stations, self.start + begin + skipped, self.values[:, begin:end], gaps)

    def with_values(self, values: npt.NDArray[np.float32]) -> HourGrid:
        """Return the same stations and hours with other values."""
        return replace(self, values=values)


def shortened_gaps(present: npt.NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """Return `HourGrid.gaps` of a regular axis; `present` (hours,): whether any station has a value."""
    known = np.flatnonzero(present)
    gaps: list[tuple[int, int]] = []
    left_out = 0
    for last, following in pairwise(known):
        missing = int(following - last) - 1
        if missing > LONG_GAP_HOURS:
            count = (missing - KEPT_GAP_HOURS) // 24 * 24
            gaps.append((int(last) + 1 - left_out + KEPT_GAP_HOURS // 2, count))
            left_out += count
    return tuple(gaps)

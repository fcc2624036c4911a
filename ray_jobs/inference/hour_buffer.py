"""The recent past of all stations: hours are computed from windows, and the models read them as a grid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from math import isnan

import numpy as np
import numpy.typing as npt

from weatherglass.history.grid import GRID_VARIABLES, HourGrid
from weatherglass.history.hours import affected_hours, first_hour_since, hours_from_windows
from weatherglass.records import AggregatedFeatures, Hour, WindowFeatures
from weatherglass.stations import Station

SPAN_HOURS = 120
"""Hours kept: the 72 that the models look back, plus two days for stations that report late."""
WINDOWS_KEPT = timedelta(hours=6)
"""How long windows are kept before the newest window of a station; a late observation changes windows that are a few
minutes old."""


def hour64(time: datetime) -> np.datetime64:
    """The full hour at or before a time, as `datetime64[h]` in UTC."""
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "h")


def first_hour64(station: Station) -> np.datetime64:
    """The first hour of a station at its present place."""
    return np.datetime64("0001-01-01", "h") if station.since is None else hour64(first_hour_since(station.since))


class WindowBuffer:
    """The newest state of the windows from which hours are computed, by station and window end."""

    def __init__(self) -> None:
        self._windows: dict[str, dict[datetime, AggregatedFeatures]] = defaultdict(dict)

    def add(self, windows: Iterable[WindowFeatures]) -> list[Hour]:
        """Add the windows of a batch; the new values of the hours they affect, sorted by station and hour.

        A batch can span days, for example in a backfill, so old windows are removed only after the hours are computed.
        """
        affected = set()
        for window in windows:
            for hour in affected_hours(window):
                self._windows[window.station_id][window.window_end] = window.aggregated_features
                affected.add((window.station_id, hour))
        hours = hours_from_windows(sorted(affected), self._windows)
        for station_id in {station_id for station_id, _ in affected}:
            self._remove_old(self._windows[station_id])
        return hours

    @staticmethod
    def _remove_old(windows: dict[datetime, AggregatedFeatures]) -> None:
        oldest = max(windows) - WINDOWS_KEPT
        for end in [end for end in windows if end < oldest]:
            del windows[end]


class HourBuffer:
    """Hourly values of all stations over the `SPAN_HOURS` up to the newest hour.

    Hours come from two sources: computed here from windows (`put_computed`), and read from `weather-hours`
    (`put_shared`), which has the past before this process started and the hours of the other shards.
    """

    def __init__(self, station_of: Callable[[str], Station]):
        self._station_of = station_of
        self._stations: tuple[Station, ...] = ()
        self._rows: dict[str, int] = {}
        self._located: set[int] = set()
        """Rows whose station is looked up again for the next grid."""
        self._newest: np.datetime64 | None = None
        self._values = np.full((0, SPAN_HOURS, len(GRID_VARIABLES)), np.nan, np.float32)
        self._counts = np.zeros((0, SPAN_HOURS), np.int64)
        self._computed = np.zeros((0, SPAN_HOURS), bool)

    def put_computed(self, hour: Hour) -> bool:
        """Store an hour computed from windows; True if it is new or changed and must be published.

        After a restart some windows of an hour may not be replayed. An hour based on fewer observations than the
        stored one is therefore ignored.
        """
        cell = self.locate(hour.station_id, hour64(hour.hour))
        if cell is None or hour.count < self._counts[cell]:
            return False
        changed = hour.count != self._counts[cell] or not np.array_equal(
            _values(hour), self._values[cell], equal_nan=True
        )
        self._values[cell], self._counts[cell], self._computed[cell] = _values(hour), hour.count, True
        return bool(changed)

    def put_shared(self, hour: Hour) -> None:
        """Store an hour from `weather-hours`, except where this process has computed it, which is at least as new."""
        cell = self.locate(hour.station_id, hour64(hour.hour))
        if cell is not None and not self._computed[cell]:
            self._values[cell], self._counts[cell] = _values(hour), hour.count

    def base_column(self, row: int, until: int) -> int | None:
        """Column of the newest hour of a row with a value, not after column `until`; None without one."""
        known = np.flatnonzero(~np.isnan(self._values[row, : max(until + 1, 0)]).all(axis=1))
        return int(known[-1]) if known.size else None

    def grid(self) -> HourGrid | None:
        """A copy of all hours; None before the first hour.

        A station that was unknown when its first observation arrived gets its location when the station table has it.
        Another change of the table takes effect with the next hour of its station. If that was moved, its earlier hours
        are removed.
        """
        if self._newest is None:
            return None
        self._stations = tuple(
            self._station_of(station.station_id) if row in self._located or isnan(station.latitude) else station
            for row, station in enumerate(self._stations)
        )
        self._located.clear()
        start = self._start(self._newest)
        for row, station in enumerate(self._stations):
            if station.since is not None:
                self._values[row, : max(int((first_hour64(station) - start).astype(int)), 0)] = np.nan
        return HourGrid(self._stations, start, self._values.copy())

    def locate(self, station_id: str, time: np.datetime64) -> tuple[int, int] | None:
        """Row and column of an hour of a station, adding both if necessary; None if the hour is before the grid."""
        if self._newest is None or time > self._newest:
            self._advance(time)
        assert self._newest is not None
        column = int((time - self._start(self._newest)).astype(int))
        if column < 0:
            return None
        if station_id not in self._rows:
            self._add(station_id)
        row = self._rows[station_id]
        self._located.add(row)
        return row, column

    def _add(self, station_id: str) -> None:
        self._rows[station_id] = len(self._stations)
        self._stations = (*self._stations, self._station_of(station_id))
        self._values, self._counts, self._computed = (
            np.concatenate([array, np.full_like(array, blank, shape=(1, *array.shape[1:]))])
            for array, blank in self._arrays()
        )

    def _advance(self, newest: np.datetime64) -> None:
        steps = SPAN_HOURS if self._newest is None else min(int((newest - self._newest).astype(int)), SPAN_HOURS)
        for array, blank in self._arrays():
            array[:, :-steps] = array[:, steps:].copy()
            array[:, SPAN_HOURS - steps :] = blank
        self._newest = newest

    def _arrays(self) -> list[tuple[npt.NDArray, float]]:
        return [(self._values, np.nan), (self._counts, 0), (self._computed, False)]

    @staticmethod
    def _start(newest: np.datetime64) -> np.datetime64:
        return newest - np.timedelta64(SPAN_HOURS - 1, "h")


def _values(hour: Hour) -> npt.NDArray[np.float32]:
    return np.array([getattr(hour, name) for name in GRID_VARIABLES], np.float32)

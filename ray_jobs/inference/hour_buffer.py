"""The rolling past of all stations: windows become hours, hours become the grid that the models read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from weatherglass.history.grid import GRID_VARIABLES, HourGrid
from weatherglass.history.hours import affected_hours, hour_from_windows
from weatherglass.records import AggregatedFeatures, Hour, WindowFeatures
from weatherglass.stations import Station

SPAN_HOURS = 120
"""Hours kept: the 72 that the models look back, and two days for stations that are late."""
WINDOWS_KEPT = timedelta(hours=6)
"""Windows kept behind a station's newest; a late observation changes windows a few minutes back."""


def hour64(time: datetime) -> np.datetime64:
    """The full hour at or before a time, as `datetime64[h]` in UTC."""
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "h")


class WindowBuffer:
    """The newest state of those windows that make hours, by station and window end."""

    def __init__(self) -> None:
        self._windows: dict[str, dict[datetime, AggregatedFeatures]] = defaultdict(dict)

    def take(self, windows: Iterable[WindowFeatures]) -> list[Hour]:
        """Keep the windows of a batch that hours rest on; those hours as they are now, in order.

        A batch may span days, as a backfill does, so old windows are let go only after the hours are made.
        """
        touched = set()
        for window in windows:
            for hour in affected_hours(window):
                self._windows[window.station_id][window.window_end] = window.aggregated_features
                touched.add((window.station_id, hour))
        hours = [hour_from_windows(*key, self._windows[key[0]]) for key in sorted(touched)]
        for station_id in {station_id for station_id, _ in touched}:
            self._let_go(self._windows[station_id])
        return [hour for hour in hours if hour is not None]

    @staticmethod
    def _let_go(windows: dict[datetime, AggregatedFeatures]) -> None:
        oldest = max(windows) - WINDOWS_KEPT
        for end in [end for end in windows if end < oldest]:
            del windows[end]


class HourBuffer:
    """Hourly values of all stations over the last `SPAN_HOURS` before the newest hour seen.

    Hours come from two sides: computed here from windows (`put`), and read from `weather-hours` (`follow`), which is
    the past before this process and the hours of stations that others answer for.
    """

    def __init__(self, station_of: Callable[[str], Station]):
        self._station_of = station_of
        self._stations: tuple[Station, ...] = ()
        self._rows: dict[str, int] = {}
        self._newest: np.datetime64 | None = None
        self._values = np.full((0, SPAN_HOURS, len(GRID_VARIABLES)), np.nan, np.float32)
        self._counts = np.zeros((0, SPAN_HOURS), np.int64)
        self._computed = np.zeros((0, SPAN_HOURS), bool)

    def put(self, hour: Hour) -> bool:
        """Take an hour computed from windows; whether it is new or changed, so that others must hear of it.

        After a restart some windows of an hour may be out of reach. An hour that rests on fewer observations than
        the one known is therefore left alone.
        """
        at = self.place(hour.station_id, hour64(hour.hour))
        if at is None or hour.count < self._counts[at]:
            return False
        changed = hour.count != self._counts[at] or not np.array_equal(_values(hour), self._values[at], equal_nan=True)
        self._values[at], self._counts[at], self._computed[at] = _values(hour), hour.count, True
        return bool(changed)

    def follow(self, hour: Hour) -> None:
        """Take an hour from `weather-hours`. What was computed here is at least as new as its echo and stays."""
        at = self.place(hour.station_id, hour64(hour.hour))
        if at is not None and not self._computed[at]:
            self._values[at], self._counts[at] = _values(hour), hour.count

    def base(self, row: int, until: int) -> int | None:
        """Column of a row's newest hour with a value, up to and with column `until`; None without one."""
        known = np.flatnonzero(~np.isnan(self._values[row, : max(until + 1, 0)]).all(axis=1))
        return int(known[-1]) if known.size else None

    def grid(self) -> HourGrid | None:
        """A copy of all that is known; None while nothing is."""
        if self._newest is None:
            return None
        return HourGrid(self._stations, self._start(self._newest), self._values.copy())

    def place(self, station_id: str, time: np.datetime64) -> tuple[int, int] | None:
        """Row and column of a station's hour, room made for both; None if it is too old to be kept."""
        if self._newest is None or time > self._newest:
            self._advance(time)
        assert self._newest is not None
        column = int((time - self._start(self._newest)).astype(int))
        if column < 0:
            return None
        if station_id not in self._rows:
            self._add(station_id)
        return self._rows[station_id], column

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

"""Faults injected into the replay, with labels that anomaly flags are scored against.

Kinds, durations and sizes are those of `anomaly.fault_injection`. Faults are drawn for each month of the data with a
fixed seed, on quarter hours. The same data and share therefore always give the same faults: a reading has the same
value in every request, and after a restart.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from producer.replay.data import ReplayData
from weatherglass.anomaly.fault_injection import SHIFT_HOURS, Fault, TimeAxis, inject_share, nearest_stations
from weatherglass.records import VARIABLES
from weatherglass.store.detection_scores import WHOLE_STATION, InjectedFault

SEED = 1964
"""The year of the first version of WMO's guide to quality control; any number would do."""
QUARTER = timedelta(minutes=15)
TIME_AXIS = TimeAxis(per_hour=4, clean_hours=SHIFT_HOURS[1])
"""The start of each month has no faults for as long as the longest time shift, which needs earlier readings."""
MONTHS = 3
"""Months kept in memory, 2 MB each for 36 stations."""


@dataclass(frozen=True)
class Month:
    """The faults of a month of the data.

    Attributes:
        first: start of the month, a time of the data.
        values: (stations, quarters, 4), axes as `records.VARIABLES`.
        number: (stations, quarters) index in `faults` of the fault there; -1 if there is none.
        faulty: (stations, quarters, 4) True inside a fault.
    """

    first: datetime
    values: npt.NDArray[np.float32]
    faults: tuple[Fault, ...]
    number: npt.NDArray[np.int64]
    faulty: npt.NDArray[np.bool_]


class ReplayFaults:
    """Injects faults into about `share` of the values of `data`."""

    def __init__(self, data: ReplayData, share: float):
        self.share = share
        self._data = data
        self._month = lru_cache(MONTHS)(self._drawn)

    def disturbed(self, station: int, time: datetime, true: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the five values of a station at a quarter hour of the data; `true` if no fault is injected there."""
        month, at = self._at(time)
        wrong = np.flatnonzero(month.faulty[station, at])
        if not len(wrong):
            return true
        disturbed = true.copy()
        disturbed[wrong] = month.values[station, at, wrong]
        return disturbed

    def shown(self, first: datetime, last: datetime) -> list[InjectedFault]:
        """Return the labels of the faults that overlap a period of the replay, both ends included.

        A label starts with the first reading of the fault, even if that is before `first`, and ends no later than
        `last`, the present, so that it reveals nothing about the future.
        """
        ends: dict[tuple[datetime, int], InjectedFault] = {}
        for time in (first + number * QUARTER for number in range((last - first) // QUARTER + 1)):
            month, at = self._at(self._data.calendar.data_time(time))
            for number in {int(number) for number in month.number[:, at]} - {-1}:
                fault = month.faults[number]
                known = ends.get((month.first, number))
                start = known.start if known else time - (at - fault.start) * QUARTER
                ends[month.first, number] = InjectedFault(
                    self._data.stations[fault.station].station_id,
                    WHOLE_STATION if fault.variable is None else VARIABLES[fault.variable],
                    fault.kind.value,
                    start,
                    time,
                )
        return list(ends.values())

    def _at(self, time: datetime) -> tuple[Month, int]:
        first = time.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return self._month(first), (time - first) // QUARTER

    def _drawn(self, first: datetime) -> Month:
        following = (first + timedelta(days=31)).replace(day=1)
        days = (following - first).days
        true = self._data.quarter_hours(first, 24 * days)[..., : len(VARIABLES)].astype(np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a series without any value
            by_day = true.reshape(len(true), days, -1, len(VARIABLES))
            spread = np.nanstd(by_day - np.nanmean(by_day, axis=1, keepdims=True), axis=(1, 2)).astype(np.float64)
        rng = np.random.default_rng([SEED, first.year, first.month])
        injected = inject_share(true, spread, nearest_stations(self._data.stations), self.share, TIME_AXIS, rng)
        number = np.full(true.shape[:2], -1)
        for i, fault in enumerate(injected.faults):
            number[fault.station, fault.start : fault.end] = i
        return Month(first, injected.values, injected.faults, number, injected.faulty)

"""Faults of simulated stations, with labels. Like the weather, they are a function of seed, station and time.

Kinds, durations and sizes are those of `anomaly.fault_injection`, except that no stations are swapped. A station has at
most one fault a week.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from producer.simulation.hashed import normal, uniform
from producer.simulation.weather import HOUR, Array, SimulatedWeather
from weatherglass.anomaly.fault_injection import (
    HOURS,
    NOISE_SIZE,
    OTHER_UNITS,
    SHIFT_HOURS,
    SIZE,
    FaultKind,
)
from weatherglass.anomaly.fault_injection import WHOLE_STATION as WHOLE_STATION_KINDS
from weatherglass.records import VARIABLES
from weatherglass.store.detection_scores import WHOLE_STATION, InjectedFault

KINDS = tuple(kind for kind in FaultKind if kind is not FaultKind.SWAPPED)
WEEK = 7 * 24 * HOUR
SPREAD = np.array([4.0, 12.0, 7.0, 2.4])
"""Standard deviations of the simulated anomalies, by variable, of which `SIZE` is a multiple."""
_MEAN_HOURS = sum(
    sum(HOURS[kind]) / 2 * (len(VARIABLES) if kind in WHOLE_STATION_KINDS else 1) for kind in KINDS
) / len(KINDS)
MAX_SHARE = 0.02
"""Largest share of wrong values; with one fault a week, about twice as many are possible."""


@dataclass(frozen=True)
class _Drawn:
    """The faults of some stations in some weeks; times in Unix seconds, both ends included."""

    exists: npt.NDArray[np.bool_]
    kind: npt.NDArray[np.int64]
    variable: npt.NDArray[np.int64]
    start: Array
    end: Array
    size: Array
    """-1 to 1: sign and place in the range of sizes."""


class SimulatedFaults:
    """Faults in about `share` of the values of a simulated weather."""

    def __init__(self, weather: SimulatedWeather, share: float, seed: int):
        self._weather, self._seed = weather, seed
        self._probability = share * len(VARIABLES) * WEEK / HOUR / _MEAN_HOURS

    def disturbed(self, station: npt.NDArray[np.int64], seconds: Array) -> Array:
        """Values as `SimulatedWeather.values`, with the faults."""
        values = self._weather.values(station, seconds)
        drawn = self._draw(station, np.floor(seconds / WEEK).astype(np.int64))
        inside = drawn.exists & (drawn.start <= seconds) & (seconds <= drawn.end)
        for number in np.flatnonzero(inside).tolist():
            self._apply(drawn, number, int(station[number]), float(seconds[number]), values[number])
        return values

    def labels(self, stations: int, first: float, last: float) -> list[tuple[int, InjectedFault]]:
        """The faults of the first so many stations that overlap a period, as index and label without station id.

        Args:
            first: Unix seconds.
            last: Unix seconds, the present; a label ends no later, so that it reveals nothing about the future.
        """
        found = []
        for week in range(int(first // WEEK), int(last // WEEK) + 1):
            drawn = self._draw(np.arange(stations), np.full(stations, week))
            for station in np.flatnonzero(drawn.exists & (drawn.start <= last) & (drawn.end >= first)):
                kind = KINDS[drawn.kind[station]]
                label = InjectedFault(
                    station_id="",
                    variable=WHOLE_STATION if kind in WHOLE_STATION_KINDS else VARIABLES[drawn.variable[station]],
                    kind=kind.value,
                    start=datetime.fromtimestamp(drawn.start[station], UTC),
                    end=datetime.fromtimestamp(min(drawn.end[station], last), UTC),
                )
                found.append((int(station), label))
        return found

    def _draw(self, station: npt.NDArray[np.int64], week: npt.NDArray[np.int64]) -> _Drawn:
        def draw(number: int) -> Array:
            return uniform(self._seed, 60, number, station, week)

        kind = (draw(1) * len(KINDS)).astype(np.int64)
        shortest, longest = (np.array([HOURS[each][end] for each in KINDS])[kind] for end in (0, 1))
        length = np.round((shortest + (longest - shortest) * draw(2)) * HOUR)
        start = np.round(week * WEEK + (WEEK - length) * draw(3))
        variable = (draw(4) * len(VARIABLES)).astype(np.int64)
        return _Drawn(draw(0) < self._probability, kind, variable, start, start + length, 2 * draw(5) - 1)

    def _apply(self, drawn: _Drawn, number: int, station: int, seconds: float, values: Array) -> None:
        """Change the values of one reading."""
        kind, variable, size = KINDS[drawn.kind[number]], int(drawn.variable[number]), float(drawn.size[number])
        start, end = float(drawn.start[number]), float(drawn.end[number])
        change = np.sign(size) * SPREAD[variable] * (SIZE[0] + (SIZE[1] - SIZE[0]) * abs(size))
        if kind in (FaultKind.SPIKE, FaultKind.BIAS):
            values[variable] += change
        elif kind is FaultKind.DRIFT:
            values[variable] += change * (seconds - start) / (end - start)
        elif kind is FaultKind.NOISE:
            spread = SPREAD[variable] * (NOISE_SIZE[0] + (NOISE_SIZE[1] - NOISE_SIZE[0]) * abs(size))
            values[variable] += spread * float(normal(self._seed, 61, station, int(seconds * 1000)))
        elif kind is FaultKind.STUCK:
            values[variable] = self._at(station, start)[variable]
        elif kind is FaultKind.UNIT:
            units = OTHER_UNITS[VARIABLES[variable]]
            factor, offset = units[int(abs(size) * len(units)) % len(units)]
            values[variable] = values[variable] * factor + offset
        elif kind is FaultKind.DROPOUT:
            values[variable] = np.nan
        elif kind is FaultKind.TIME_SHIFT:
            shift = SHIFT_HOURS[0] + (SHIFT_HOURS[1] - SHIFT_HOURS[0]) * abs(size)
            values[:] = self._at(station, seconds - HOUR * shift)
        values[: len(VARIABLES)] = np.round(values[: len(VARIABLES)], 2)

    def _at(self, station: int, seconds: float) -> Array:
        return self._weather.values(np.array([station]), np.array([seconds]))[0]

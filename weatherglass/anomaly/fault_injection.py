"""Faults of stations, made to measure: injected into real series with labels, to train on and to be judged by.

Kinds follow the taxonomies of Ni et al. (2009), Sensor network data fault types, ACM TOSN 5(3), and of Sharma,
Golubchik and Govindan (2010), Sensor faults, ACM TOSN 6(3): short, constant, noise, drift, offset, out of the unit.
Sizes are in standard deviations of the station's anomaly, as the seeded errors of Hubbard et al. (2005), Performance
of quality assurance procedures for an applied climate information system, J. Atmos. Oceanic Technol. 22, which reach
3.5 of them; below 1 they do no harm. A station's clock and name fail for all its variables at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from weatherglass.records import VARIABLES
from weatherglass.stations import Station


class FaultKind(StrEnum):
    """What is wrong with the readings."""

    SPIKE = "spike"
    STUCK = "stuck"
    DRIFT = "drift"
    BIAS = "bias"
    NOISE = "noise"
    UNIT = "unit"
    DROPOUT = "dropout"
    SWAPPED = "swapped"
    TIME_SHIFT = "time_shift"


WHOLE_STATION = (FaultKind.SWAPPED, FaultKind.TIME_SHIFT)
HOURS: dict[FaultKind, tuple[int, int]] = {
    FaultKind.SPIKE: (1, 2),
    FaultKind.STUCK: (8, 24),
    FaultKind.DRIFT: (24, 72),
    FaultKind.BIAS: (12, 48),
    FaultKind.NOISE: (6, 24),
    FaultKind.UNIT: (6, 24),
    FaultKind.DROPOUT: (3, 12),
    FaultKind.SWAPPED: (12, 36),
    FaultKind.TIME_SHIFT: (12, 36),
}
"""Shortest and longest, hours, both included."""

SIZE = (1.0, 3.5)
"""Standard deviations: height of a spike and of a step, end of a drift."""
NOISE_SIZE = (0.5, 1.5)
"""Standard deviations: of the noise that is added (the intensities of Sharma et al.)."""
SHIFT_HOURS = (2, 12)
SWAP_AMONG = 5
"""A station is taken for one of its nearest, which a network numbers in a row."""
UNITS: dict[str, tuple[tuple[float, float], ...]] = {
    "temperature": ((1.8, 32.0), (1.0, 273.15)),
    "humidity": ((0.01, 0.0),),
    "pressure": ((0.0295300, 0.0), (0.750062, 0.0), (100.0, 0.0)),
    "wind_speed": ((1.943844, 0.0), (2.236936, 0.0), (3.6, 0.0)),
}
"""Factor and offset of what else the number may stand for: °F, K; a fraction; inHg, mmHg, Pa; knots, mph, km/h."""
STEPS = (1.0, 1852 / 3600, 0.5, 1609.344 / 3600, 1 / 3.6, 0.1, 0.01)
"""Steps in which sources round, coarsest first: tenths and the like, and whole knots, miles and kilometres an hour."""
ROUNDED = 1e-3
WHOLE_SHARE = 0.9
QUIET_HOURS = 48
"""Least time between two faults of a station."""
LOOK_BACK = 96
"""Hours at the beginning without faults, so that each has an honest past."""


@dataclass(frozen=True)
class Fault:
    """A fault of station `station` (row) from step `start` (an hour, if not said otherwise) up to and without `end`.

    `variable` is None where all variables of the station are wrong.
    """

    kind: FaultKind
    station: int
    variable: int | None
    start: int
    end: int

    @property
    def variables(self) -> tuple[int, ...]:
        return tuple(range(len(VARIABLES))) if self.variable is None else (self.variable,)


@dataclass(frozen=True)
class Injected:
    """Values with faults in them, and what was done.

    Attributes:
        values: (stations, steps, 4), axes as `VARIABLES`.
        faulty: (stations, steps, 4), true in a fault.
    """

    values: npt.NDArray[np.float32]
    faults: tuple[Fault, ...]
    faulty: npt.NDArray[np.bool_]


def inject(
    values: npt.NDArray[np.float32],
    spread: npt.NDArray[np.float64],
    nearest: npt.NDArray[np.int64],
    events: int,
    rng: np.random.Generator,
) -> Injected:
    """Put `events` faults of each kind into hourly values (stations, hours, 4), as many of them as find room.

    Args:
        spread: (stations, 4) standard deviation of the anomalies.
        nearest: (stations, SWAP_AMONG) rows of the nearest stations of each, -1 for none, for swaps.
    """
    return _inject(
        (kind for _ in range(events) for kind in FaultKind), values, spread, nearest, Steps(1, LOOK_BACK), rng
    )


def inject_share(
    values: npt.NDArray[np.float32],
    spread: npt.NDArray[np.float64],
    nearest: npt.NDArray[np.int64],
    share: float,
    steps: Steps,
    rng: np.random.Generator,
) -> Injected:
    """The same with faults of random kinds, all equally likely, until about `share` of the values are wrong.

    Where the last would be too much, chance decides: it is `share` on average, also of a small network.
    """
    return _inject(_drawn(share * float(np.isfinite(values).sum()), steps, rng), values, spread, nearest, steps, rng)


@dataclass(frozen=True)
class Steps:
    """The time axis of what faults are put into: steps an hour, and how many hours at its beginning stay without."""

    per_hour: int
    clean_hours: int


def _drawn(wanted: float, steps: Steps, rng: np.random.Generator) -> Iterator[FaultKind]:
    while wanted > 0:
        kind = list(FaultKind)[int(rng.integers(len(FaultKind)))]
        series = len(VARIABLES) if kind in WHOLE_STATION else 1
        size = sum(HOURS[kind]) / 2 * steps.per_hour * series * (2 if kind is FaultKind.SWAPPED else 1)
        if rng.random() < wanted / size:
            yield kind
        wanted -= size


def _inject(
    kinds: Iterable[FaultKind],
    values: npt.NDArray[np.float32],
    spread: npt.NDArray[np.float64],
    nearest: npt.NDArray[np.int64],
    steps: Steps,
    rng: np.random.Generator,
) -> Injected:
    made, faulty = values.copy(), np.zeros(values.shape, bool)
    taken = np.zeros(values.shape[:2], bool)
    taken[:, : steps.clean_hours * steps.per_hour] = True
    quiet = QUIET_HOURS * steps.per_hour
    faults: list[Fault] = []
    for kind in kinds:
        fault = _room(kind, values, taken, steps, rng)
        if fault is None:
            continue
        rows = [fault.station]
        if kind is FaultKind.SWAPPED:
            free = [row for row in nearest[fault.station] if row >= 0 and not _blocked(taken, row, fault)]
            if not free:
                continue
            rows.append(int(rng.choice(free)))
        _apply(fault, rows[-1], values, made, spread, steps, rng)
        for row in rows:
            taken[row, max(0, fault.start - quiet) : fault.end + quiet] = True
            one = Fault(kind, row, fault.variable, fault.start, fault.end)
            faults.append(one)
            faulty[row, one.start : one.end, list(one.variables)] = True
    faulty &= np.isfinite(made)
    for (row, variable), step in _digits(values).items():
        stretch = faulty[row, :, variable]
        made[row, stretch, variable] = np.round(made[row, stretch, variable] / step) * step
    return Injected(made, tuple(faults), faulty)


def nearest(stations: Sequence[Station]) -> npt.NDArray[np.int64]:
    """Rows (n, SWAP_AMONG) of the nearest stations, -1 where there are fewer or a place is not known."""
    latitude = np.array([station.latitude for station in stations], float)
    longitude = np.array([station.longitude for station in stations], float)
    east = ((longitude[None] - longitude[:, None] + 180) % 360 - 180) * np.cos(np.deg2rad(latitude))[:, None]
    distance = np.hypot(east, latitude[None] - latitude[:, None])
    np.fill_diagonal(distance, np.nan)
    order = np.argsort(distance, axis=1)[:, :SWAP_AMONG]  # NaN comes last
    made = np.full((len(stations), SWAP_AMONG), -1)
    there = np.isfinite(np.take_along_axis(distance, order, axis=1))
    made[:, : order.shape[1]] = np.where(there, order, -1)
    return made


def _digits(values: npt.NDArray[np.float32]) -> dict[tuple[int, int], float]:
    """The step in which each series is reported, where it is: a wrong value is told in whole numbers like a right one.

    Else the digits would give the injected values away.
    """
    found = {}
    for row in range(len(values)):
        for variable in range(values.shape[2]):
            mine = values[row, :, variable].astype(np.float64)
            mine = mine[np.isfinite(mine)]
            for step in STEPS:
                if len(mine) and np.mean(np.abs(mine / step - np.round(mine / step)) < ROUNDED) > WHOLE_SHARE:
                    found[row, variable] = step
                    break
    return found


def _room(
    kind: FaultKind,
    values: npt.NDArray[np.float32],
    taken: npt.NDArray[np.bool_],
    steps: Steps,
    rng: np.random.Generator,
) -> Fault | None:
    """A place for a fault where the variable reports and nothing else is wrong; None after fifty tries."""
    low, high = (hours * steps.per_hour for hours in HOURS[kind])
    for _ in range(50):
        length = int(rng.integers(low, high + 1))
        variable = None if kind in WHOLE_STATION else int(rng.integers(len(VARIABLES)))
        start = int(rng.integers(steps.clean_hours * steps.per_hour, values.shape[1] - length))
        fault = Fault(kind, int(rng.integers(len(values))), variable, start, start + length)
        seen = np.isfinite(values[fault.station, start : fault.end, list(fault.variables)])
        if seen.all() and not _blocked(taken, fault.station, fault):
            return fault
    return None


def _blocked(taken: npt.NDArray[np.bool_], row: int, fault: Fault) -> bool:
    return bool(taken[row, fault.start : fault.end].any())


def _apply(
    fault: Fault,
    other: int,
    values: npt.NDArray[np.float32],
    made: npt.NDArray[np.float32],
    spread: npt.NDArray[np.float64],
    steps: Steps,
    rng: np.random.Generator,
) -> None:
    """Write a fault into `made`; `other` is the second station of a swap."""
    stretch, row = slice(fault.start, fault.end), fault.station
    length = fault.end - fault.start
    if fault.kind is FaultKind.SWAPPED:
        made[[row, other], stretch] = values[[other, row], stretch]
        return
    if fault.kind is FaultKind.TIME_SHIFT:
        late = int(rng.integers(SHIFT_HOURS[0], SHIFT_HOURS[1] + 1)) * steps.per_hour
        made[row, stretch] = values[row, fault.start - late : fault.end - late]
        return
    assert fault.variable is not None
    v = fault.variable
    true, size = values[row, stretch, v], spread[row, v]
    height = float(rng.uniform(*SIZE) * size * rng.choice([-1, 1]))
    if fault.kind is FaultKind.STUCK:
        wrong = np.full(length, true[0])
    elif fault.kind is FaultKind.DROPOUT:
        wrong = np.zeros(length)
    elif fault.kind is FaultKind.UNIT:
        factor, offset = UNITS[VARIABLES[v]][int(rng.integers(len(UNITS[VARIABLES[v]])))]
        wrong = true * factor + offset
    elif fault.kind is FaultKind.NOISE:
        wrong = true + rng.normal(size=length) * rng.uniform(*NOISE_SIZE) * size
    elif fault.kind is FaultKind.DRIFT:
        wrong = true + height * np.arange(1, length + 1) / length
    else:
        wrong = true + height
    if VARIABLES[v] == "humidity" and fault.kind is not FaultKind.UNIT:
        wrong = np.clip(wrong, 0, 100)
    if VARIABLES[v] == "wind_speed":
        wrong = np.maximum(wrong, 0)
    made[row, stretch, v] = wrong

"""Synthetic faults of stations: injected into real series with labels, for training and evaluation.

Kinds follow the taxonomies of Ni et al. (2009), Sensor network data fault types, ACM TOSN 5(3), and of Sharma,
Golubchik and Govindan (2010), Sensor faults, ACM TOSN 6(3): short, constant, noise, drift, offset, out of the unit.
Sizes are in standard deviations of the station's anomaly, as the seeded errors of Hubbard et al. (2005), Performance
of quality assurance procedures for an applied climate information system, J. Atmos. Oceanic Technol. 22, which reach
3.5 of them; below 1 they are harmless. Faults of a station's clock or identity affect all its variables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from weatherglass.qc.limits import RANGE_LIMITS
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
"""Shortest and longest duration in hours, both included."""

SIZE = (1.0, 3.5)
"""Standard deviations: height of a spike or a bias, final value of a drift."""
NOISE_SIZE = (0.5, 1.5)
"""Standard deviations of the added noise (the intensities of Sharma et al.)."""
SHIFT_HOURS = (2, 12)
SWAP_AMONG = 5
"""A station is swapped with one of its nearest, because networks number neighbouring stations consecutively."""
OTHER_UNITS: dict[str, tuple[tuple[float, float], ...]] = {
    "temperature": ((1.8, 32.0), (1.0, 273.15)),
    "humidity": ((0.01, 0.0),),
    "pressure": ((0.0295300, 0.0), (0.750062, 0.0), (100.0, 0.0)),
    "wind_speed": ((1.943844, 0.0), (2.236936, 0.0), (3.6, 0.0)),
}
"""Factor and offset of other units: °F, K; a fraction; inHg, mmHg, Pa; knots, mph, km/h."""
ROUNDING_STEPS = (1.0, 1852 / 3600, 0.5, 1609.344 / 3600, 1 / 3.6, 0.1, 0.01)
"""Steps to which sources round, coarsest first: decimals, and whole knots, miles per hour and kilometres per hour."""
ROUNDING_TOLERANCE = 1e-3
WHOLE_SHARE = 0.9
MIN_GAP_HOURS = 48
"""Minimum time between two faults of a station."""
LOOK_BACK = 96
"""Hours at the beginning without faults, so that every fault has a correct past."""


@dataclass(frozen=True)
class Fault:
    """A fault of station `station` (row) from time step `start` (by default an hour) to `end`, exclusive.

    `variable` is None if all variables of the station are wrong.
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
class InjectionResult:
    """Values with injected faults, and their labels.

    Attributes:
        values: (stations, steps, 4), axes as `VARIABLES`.
        faulty: (stations, steps, 4), True inside a fault.
    """

    values: npt.NDArray[np.float32]
    faults: tuple[Fault, ...]
    faulty: npt.NDArray[np.bool_]


def inject(
    values: npt.NDArray[np.float32],
    spread: npt.NDArray[np.float64],
    nearest: npt.NDArray[np.int64],
    per_kind: int,
    rng: np.random.Generator,
) -> InjectionResult:
    """Inject `per_kind` faults of each kind, or as many as fit, into hourly values.

    Args:
        values: (stations, hours, 4); NaN where missing.
        spread: (stations, 4) standard deviation of the anomalies.
        nearest: (stations, SWAP_AMONG) rows of the nearest stations of each, -1 for none; used for swaps.
    """
    return _inject(
        (kind for _ in range(per_kind) for kind in FaultKind),
        values,
        spread,
        nearest,
        TimeAxis(1, LOOK_BACK),
        rng,
    )


def inject_share(
    values: npt.NDArray[np.float32],
    spread: npt.NDArray[np.float64],
    nearest: npt.NDArray[np.int64],
    share: float,
    axis: TimeAxis,
    rng: np.random.Generator,
) -> InjectionResult:
    """Inject faults of random, equally likely kinds until about `share` of the values are wrong.

    The last fault is drawn with a probability such that the share is correct on average, also for few stations.
    """
    return _inject(_draw_kinds(share * float(np.isfinite(values).sum()), axis, rng), values, spread, nearest, axis, rng)


@dataclass(frozen=True)
class TimeAxis:
    """The time axis of the values: steps per hour, and the number of hours at its beginning without faults."""

    per_hour: int
    clean_hours: int


def _draw_kinds(remaining: float, axis: TimeAxis, rng: np.random.Generator) -> Iterator[FaultKind]:
    while remaining > 0:
        kind = list(FaultKind)[int(rng.integers(len(FaultKind)))]
        series = len(VARIABLES) if kind in WHOLE_STATION else 1
        size = sum(HOURS[kind]) / 2 * axis.per_hour * series * (2 if kind is FaultKind.SWAPPED else 1)
        if rng.random() < remaining / size:
            yield kind
        remaining -= size


def _inject(
    kinds: Iterable[FaultKind],
    values: npt.NDArray[np.float32],
    spread: npt.NDArray[np.float64],
    nearest: npt.NDArray[np.int64],
    axis: TimeAxis,
    rng: np.random.Generator,
) -> InjectionResult:
    disturbed, faulty = values.copy(), np.zeros(values.shape, bool)
    taken = np.zeros(values.shape[:2], bool)
    taken[:, : axis.clean_hours * axis.per_hour] = True
    quiet = MIN_GAP_HOURS * axis.per_hour
    faults: list[Fault] = []
    for kind in kinds:
        fault = _find_place(kind, values, taken, axis, rng)
        if fault is None:
            continue
        rows = [fault.station]
        if kind is FaultKind.SWAPPED:
            free = [row for row in nearest[fault.station] if row >= 0 and not _blocked(taken, row, fault)]
            if not free:
                continue
            rows.append(int(rng.choice(free)))
        _apply(fault, rows[-1], values, disturbed, spread, axis, rng)
        for row in rows:
            taken[row, max(0, fault.start - quiet) : fault.end + quiet] = True
            labelled = Fault(kind, row, fault.variable, fault.start, fault.end)
            faults.append(labelled)
            faulty[row, labelled.start : labelled.end, list(labelled.variables)] = True
    faulty &= np.isfinite(disturbed)
    for (row, variable), step in _rounding_steps(values).items():
        inside = faulty[row, :, variable]
        disturbed[row, inside, variable] = np.round(disturbed[row, inside, variable] / step) * step
    return InjectionResult(disturbed, tuple(faults), faulty)


def nearest_stations(stations: Sequence[Station]) -> npt.NDArray[np.int64]:
    """Return the rows (n, SWAP_AMONG) of the nearest stations, -1 if there are fewer or coordinates are unknown."""
    latitude = np.array([station.latitude for station in stations], float)
    longitude = np.array([station.longitude for station in stations], float)
    east = ((longitude[None] - longitude[:, None] + 180) % 360 - 180) * np.cos(np.deg2rad(latitude))[:, None]
    distance = np.hypot(east, latitude[None] - latitude[:, None])
    np.fill_diagonal(distance, np.nan)
    order = np.argsort(distance, axis=1)[:, :SWAP_AMONG]  # NaN comes last
    rows = np.full((len(stations), SWAP_AMONG), -1)
    known = np.isfinite(np.take_along_axis(distance, order, axis=1))
    rows[:, : order.shape[1]] = np.where(known, order, -1)
    return rows


def _rounding_steps(values: npt.NDArray[np.float32]) -> dict[tuple[int, int], float]:
    """Return the step to which each series is rounded, if any, by (station, variable).

    Injected values are rounded like the others; otherwise their digits would reveal them.
    """
    rounding = {}
    for row in range(len(values)):
        for variable in range(values.shape[2]):
            series = values[row, :, variable].astype(np.float64)
            series = series[np.isfinite(series)]
            for step in ROUNDING_STEPS:
                steps = series / step
                if len(series) and np.mean(np.abs(steps - np.round(steps)) < ROUNDING_TOLERANCE) > WHOLE_SHARE:
                    rounding[row, variable] = step
                    break
    return rounding


def _find_place(
    kind: FaultKind,
    values: npt.NDArray[np.float32],
    taken: npt.NDArray[np.bool_],
    axis: TimeAxis,
    rng: np.random.Generator,
) -> Fault | None:
    """Find a place where the variable has values and no other fault is near; None after fifty attempts."""
    low, high = (hours * axis.per_hour for hours in HOURS[kind])
    for _ in range(50):
        length = int(rng.integers(low, high + 1))
        variable = None if kind in WHOLE_STATION else int(rng.integers(len(VARIABLES)))
        start = int(rng.integers(axis.clean_hours * axis.per_hour, values.shape[1] - length))
        fault = Fault(kind, int(rng.integers(len(values))), variable, start, start + length)
        known = np.isfinite(values[fault.station, start : fault.end, list(fault.variables)])
        if known.all() and not _blocked(taken, fault.station, fault):
            return fault
    return None


def _blocked(taken: npt.NDArray[np.bool_], row: int, fault: Fault) -> bool:
    return bool(taken[row, fault.start : fault.end].any())


def _apply(
    fault: Fault,
    other: int,
    values: npt.NDArray[np.float32],
    disturbed: npt.NDArray[np.float32],
    spread: npt.NDArray[np.float64],
    axis: TimeAxis,
    rng: np.random.Generator,
) -> None:
    """Write a fault into `disturbed`; `other` is the second station of a swap."""
    period, row = slice(fault.start, fault.end), fault.station
    length = fault.end - fault.start
    if fault.kind is FaultKind.SWAPPED:
        disturbed[[row, other], period] = values[[other, row], period]
        return
    if fault.kind is FaultKind.TIME_SHIFT:
        late = int(rng.integers(SHIFT_HOURS[0], SHIFT_HOURS[1] + 1)) * axis.per_hour
        disturbed[row, period] = values[row, fault.start - late : fault.end - late]
        return
    assert fault.variable is not None
    v = fault.variable
    true, size = values[row, period, v], spread[row, v]
    height = float(rng.uniform(*SIZE) * size * rng.choice([-1, 1]))
    if fault.kind is FaultKind.STUCK:
        wrong = np.full(length, true[0])
    elif fault.kind is FaultKind.DROPOUT:
        wrong = np.zeros(length)
    elif fault.kind is FaultKind.UNIT:
        factor, offset = OTHER_UNITS[VARIABLES[v]][int(rng.integers(len(OTHER_UNITS[VARIABLES[v]])))]
        wrong = true * factor + offset
    elif fault.kind is FaultKind.NOISE:
        wrong = true + rng.normal(size=length) * rng.uniform(*NOISE_SIZE) * size
    elif fault.kind is FaultKind.DRIFT:
        wrong = true + height * np.arange(1, length + 1) / length
    else:
        wrong = true + height
    if VARIABLES[v] == "humidity" and fault.kind is not FaultKind.UNIT:
        wrong = np.clip(wrong, RANGE_LIMITS["humidity"].low, RANGE_LIMITS["humidity"].high)
    if VARIABLES[v] == "wind_speed":
        wrong = np.maximum(wrong, 0)
    disturbed[row, period, v] = wrong

"""Benchmark of `weatherglass check`: faults with labels in single series at several reporting intervals.

    python -m weatherglass.evaluation.single_series_benchmark [--seeds 5] [--budget 0.2]

The series are synthetic: weather, a heated sensor in a room, and a machine with slow cycles that fails twice. They
follow from the seed, so that one set of seeds can choose the method and another one measure it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from weatherglass.anomaly.single_series import CLOCK, check_series
from weatherglass.records import VARIABLES

Array = npt.NDArray[np.float64]

NOW = datetime(2030, 1, 1, tzinfo=UTC)
START = np.datetime64("2023-05-01T00:00:00", "s")
KINDS = ("spike", "step", "level_shift", "pulse", "drift", "noise", "stuck")
RESOLUTION = (0.1, 1.0, 0.1, 0.1)
SPREAD = (3.0, 9.0, 5.0, 1.2)
"""Standard deviations of the synthetic weather, in the units of `VARIABLES`."""
SIZE = (1.5, 4.0)
"""Sizes of faults, in standard deviations of the weather."""
ROOM_RISE = (10.0, 24.0)
"""K of a heated sensor."""


@dataclass(frozen=True)
class LabelledFault:
    """A fault of the readings from `start` to `end`, exclusive."""

    kind: str
    variable: int
    start: int
    end: int


@dataclass(frozen=True)
class LabelledSeries:
    """A series and its faults.

    Attributes:
        seconds: between two readings.
        values: (n, 4) as `VARIABLES`; NaN where missing.
    """

    name: str
    seconds: int
    values: Array
    faults: tuple[LabelledFault, ...]

    @property
    def times(self) -> npt.NDArray[np.datetime64]:
        return START + np.arange(len(self.values)) * np.timedelta64(self.seconds, "s")


@dataclass
class SeriesCounts:
    """Detections and false alarms; a fault is detected if an event of its variable overlaps it.

    Attributes:
        faults, detected: by kind.
        true_events, false_events: events that overlap a fault, or the time after it that is as long as it, and others.
        weeks: length of the series times the number of their variables.
        hits, misses, false_rows: readings that are inside a fault and an event, only a fault, only an event.
    """

    faults: dict[str, int] = field(default_factory=dict)
    detected: dict[str, int] = field(default_factory=dict)
    true_events: int = 0
    false_events: int = 0
    weeks: float = 0.0
    hits: int = 0
    misses: int = 0
    false_rows: int = 0

    def add(self, series: LabelledSeries, budget: float) -> None:
        times, values = series.times, series.values
        report = check_series(times, values, np.arange(1, len(times) + 1), budget, NOW)
        flagged = np.zeros(values.shape, bool)
        for event in report.events:
            onset, end = (np.datetime64(time.replace(tzinfo=None), "s") for time in (event.onset, event.end))
            inside = slice(int(np.searchsorted(times, onset)), int(np.searchsorted(times, end, "right")))
            subjects = [v for v, name in enumerate(VARIABLES) if name in event.subject] if event.check != CLOCK else []
            for v in subjects:
                flagged[inside, v] = True
                near = any(
                    fault.variable == v and inside.start < 2 * fault.end - fault.start and inside.stop > fault.start
                    for fault in series.faults
                )
                self.true_events += near
                self.false_events += not near
        faulty = np.zeros(values.shape, bool)
        for fault in series.faults:
            faulty[fault.start : fault.end, fault.variable] = True
            found = bool(flagged[fault.start : fault.end, fault.variable].any())
            self.faults[fault.kind] = self.faults.get(fault.kind, 0) + 1
            self.detected[fault.kind] = self.detected.get(fault.kind, 0) + found
        self.hits += int((flagged & faulty).sum())
        self.misses += int((faulty & ~flagged).sum())
        self.false_rows += int((flagged & ~faulty).sum())
        self.weeks += report.weeks * int(np.isfinite(values).any(axis=0).sum())

    def row(self) -> dict[str, float]:
        """Return recall by kind, precision of events, false alarms per week and variable, and F1 of readings."""
        events, faults = self.true_events + self.false_events, sum(self.faults.values())
        return {
            **{kind: self.detected[kind] / count for kind, count in self.faults.items()},
            "recall": sum(self.detected.values()) / faults if faults else float("nan"),
            "precision": self.true_events / events if events else float("nan"),
            "false alarms": self.false_events / self.weeks,
            "reading F1": 2 * self.hits / max(1, 2 * self.hits + self.misses + self.false_rows),
        }


def weather(rng: np.random.Generator, seconds: int, days: float, calm: bool = False) -> Array:
    """Return values (n, 4) of weather: a daily cycle whose size varies, slow changes, and a sensor's noise.

    In calm weather, most wind speeds are 0 and the air is often saturated.
    """
    count = int(days * 86400 // seconds)
    hours = np.arange(count) * seconds / 3600
    cloudy = np.interp(hours / 24, np.arange(int(days) + 2), rng.uniform(0.2, 1.3, int(days) + 2))
    cycle = -np.cos(2 * np.pi * hours / 24) * cloudy
    slow = np.column_stack([_red_noise(rng, count, seconds, 40.0) for _ in VARIABLES])
    fast = np.column_stack([_red_noise(rng, count, seconds, 1.0) for _ in VARIABLES])
    mean = np.array([15.0, 92.0, 1005.0, -0.5] if calm else [15.0, 60.0, 1005.0, 4.0])
    values = mean + cycle[:, None] * [5.0, -14.0, 0.3, 1.0] + SPREAD * (0.8 * slow + [0.1, 0.3, 0.03, 0.5] * fast)
    values += rng.normal(size=values.shape) * np.multiply(RESOLUTION, 0.7)
    low, high = (0.0, 100.0) if calm else (0.6, 97.0)
    return _rounded(np.clip(values, [-90.0, 8.0, 800.0, low], [55.0, high, 1080.0, 70.0]))


def weather_with_faults(
    rng: np.random.Generator, seconds: int, days: float, per_kind: int, calm: bool = False
) -> LabelledSeries:
    """Return weather with faults of all `KINDS` at random places, at least a day apart."""
    values = weather(rng, seconds, days, calm)
    kinds = list(rng.permutation(KINDS * per_kind))
    faults = []
    hour = 3600 / seconds
    for kind, place in zip(kinds, np.linspace(0.15, 0.97, len(kinds), endpoint=False), strict=True):
        v = int(rng.integers(3 if kind == "stuck" else 4))
        begin = int(place * len(values))
        hours = {"spike": 0.0, "pulse": rng.uniform(0.3, 2), "stuck": rng.uniform(14, 20)}.get(
            kind, rng.uniform(10, 30)
        )
        end = min(len(values), begin + max(1, round(hours * hour)))
        disturb(rng, values, kind, v, begin, end, SPREAD[v])
        faults.append(LabelledFault(kind, v, begin, end))
    return LabelledSeries("weather", seconds, values, tuple(faults))


def disturb(rng: np.random.Generator, values: Array, kind: str, v: int, begin: int, end: int, spread: float) -> None:
    """Write a fault of the variable `v` into values[begin:end]; sizes in units of `spread`."""
    inside = values[begin:end, v]
    height = spread * rng.uniform(*SIZE) * rng.choice([-1, 1])
    share = np.arange(1, len(inside) + 1) / len(inside)
    changes: dict[str, Callable[[], Array]] = {
        "spike": lambda: inside + 1.5 * height,
        "step": lambda: inside + 2.5 * height,
        "level_shift": lambda: inside + height,
        "pulse": lambda: inside + height * np.sin(np.pi * share),
        "drift": lambda: inside + 1.5 * height * share,
        "noise": lambda: inside + rng.normal(size=len(inside)) * abs(height) / 2,
        "stuck": lambda: np.full(len(inside), inside[0]),
    }
    wrong = np.zeros((len(inside), len(VARIABLES)))
    wrong[:, v] = changes[kind]()
    values[begin:end, v] = np.clip(_rounded(wrong)[:, v], [-90, 0, 310, 0][v], [59, 100, 1099, 74][v])


def heated_room(rng: np.random.Generator, seconds: int = 5, hours: float = 6.0) -> LabelledSeries:
    """Return temperature and humidity of a room in which a heater is held to the sensor a few times."""
    count = int(hours * 3600 // seconds)
    values = np.full((count, 4), np.nan)
    slow = [_red_noise(rng, count, seconds, 3.0) for _ in range(2)]
    excess = np.zeros(count)
    faults = []
    for place in np.linspace(0.15, 0.9, int(rng.integers(2, 5)), endpoint=False):
        begin, on = int(place * count), int(rng.uniform(60, 400) // seconds)
        tau = rng.uniform(20, 90) / seconds
        rise = rng.uniform(*ROOM_RISE) * (1 - np.exp(-np.arange(on) / tau))
        fall = rise[-1] * np.exp(-np.arange(6 * tau) / (1.5 * tau))
        pulse = np.concatenate([rise, fall])[: count - begin]
        excess[begin : begin + len(pulse)] += pulse
        end = begin + int((pulse > 0.1 * pulse.max()).nonzero()[0][-1]) + 1
        faults += [LabelledFault("heater", v, begin, end) for v in (0, 1)]
    values[:, 0] = 26 + 0.8 * slow[0] + rng.normal(size=count) * 0.05 + excess
    values[:, 1] = 45 + 2 * slow[1] + rng.normal(size=count) * 0.2 + rng.choice([-0.8, 1.2]) * excess
    values[:, :2] = np.round(values[:, :2], 2)
    return LabelledSeries("room", seconds, values, tuple(faults))


def machine(rng: np.random.Generator, seconds: int = 3600, days: float = 240.0) -> LabelledSeries:
    """Return temperatures of a machine: cycles of days, noise, and two failures after a drift, with recovery."""
    count = int(days * 86400 // seconds)
    hour = 3600 / seconds
    values = np.full((count, 4), np.nan)
    phase = np.cumsum(
        2 * np.pi / (rng.uniform(50, 150) * hour * (1 + 0.4 * _red_noise(rng, count, seconds, 200.0) ** 2))
    )
    series = 22 + 1.2 * np.sin(phase) + 1.2 * _red_noise(rng, count, seconds, 60.0)
    series += 0.5 * _red_noise(rng, count, seconds, 2.0) + rng.normal(size=count) * 0.15
    faults = []
    for place in (rng.uniform(0.3, 0.5), rng.uniform(0.65, 0.9)):
        begin = int(place * count)
        drift, failed, back = (round(rng.uniform(*of) * hour) for of in ((24, 48), (6, 30), (6, 24)))
        deviation = rng.choice([-1, 1], p=[0.7, 0.3]) * rng.uniform(6, 9)
        shape = np.concatenate([0.5 * np.linspace(0, 1, drift), np.ones(failed), np.linspace(1, 0, back)])
        series[begin : begin + len(shape)] += deviation * shape
        faults.append(LabelledFault("failure", 0, begin, begin + len(shape)))
    values[:, 0] = np.round(series, 2)
    return LabelledSeries("machine", seconds, values, tuple(faults))


def _red_noise(rng: np.random.Generator, count: int, seconds: int, hours: float) -> Array:
    """Return noise (count,) of unit variance that is correlated over some hours."""
    keeps = np.exp(-seconds / 3600 / hours)
    noise = rng.normal(size=count) * np.sqrt(1 - keeps**2)
    noise[0] = rng.normal()
    return np.asarray(lfilter([1.0], [1.0, -keeps], noise))


def _rounded(values: Array) -> Array:
    return np.round(np.round(values / RESOLUTION) * RESOLUTION, 3)


SERIES: dict[str, Callable[[np.random.Generator], LabelledSeries]] = {
    "room, 5 s": heated_room,
    "weather, 1 min": lambda rng: weather_with_faults(rng, 60, 30, 1),
    "weather, 10 min": lambda rng: weather_with_faults(rng, 600, 60, 2),
    "weather, 1 h": lambda rng: weather_with_faults(rng, 3600, 200, 4),
    "machine, 5 min": lambda rng: machine(rng, 300, 80),
    "machine, 1 h": machine,
    "calm weather, 10 min": lambda rng: weather_with_faults(rng, 600, 60, 2, calm=True),
    "calm weather, 1 h": lambda rng: weather_with_faults(rng, 3600, 200, 4, calm=True),
}


def benchmark(seeds: Sequence[int], budget: float) -> dict[str, SeriesCounts]:
    """Return the counts of each kind of series over several seeds."""
    counts = {name: SeriesCounts() for name in SERIES}
    for number, (name, make) in enumerate(SERIES.items()):
        for seed in seeds:
            counts[name].add(make(np.random.default_rng([seed, number])), budget)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m weatherglass.evaluation.single_series_benchmark", description=__doc__
    )
    parser.add_argument("--seeds", type=int, default=5, help="number of series of each kind")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=0.2, help="false alarms per variable and week")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    for name, counts in benchmark(seeds, options.budget).items():
        figures = ", ".join(f"{key} {value:.2f}" for key, value in counts.row().items())
        print(f"{name}: {figures} ({sum(counts.faults.values())} faults, {counts.weeks:.1f} variable-weeks)")


if __name__ == "__main__":
    main()

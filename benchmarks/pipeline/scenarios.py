"""The scenarios: which loads each of them runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

MAX_WORKERS = 4
"""The partitions of the topics are divided among the workers, so more workers than partitions would be idle."""


class InvalidLoadError(ValueError):
    """A number of a load is not possible; the message gives the limits."""


@dataclass(frozen=True)
class Load:
    """A load: simulated stations, observations per second of all of them together, and workers.

    `workers` is the number of Spark's cores (executors of one core in a cluster) and of inference actors.
    """

    stations: int
    rate: float
    workers: int

    def __post_init__(self) -> None:
        if not (self.stations >= 1 and self.rate > 0 and 1 <= self.workers <= MAX_WORKERS):
            raise InvalidLoadError(f"{self}: needs a station, a positive rate, and 1 to {MAX_WORKERS} workers")

    def __str__(self) -> str:
        return f"{self.stations} stations, {self.rate:g} observations/s, workers: {self.workers}"


class Scenario(StrEnum):
    """What is varied."""

    BASELINE = "baseline"
    STATIONS = "stations"
    RATES = "rates"
    WORKERS = "workers"


STATIONS = (10, 50, 100)
RATES = (10.0, 50.0, 100.0)
WORKERS = (1, 2, 4)
DEFAULT = Load(stations=20, rate=20.0, workers=1)


def loads(scenario: Scenario, base: Load = DEFAULT) -> list[Load]:
    """The loads of a scenario: `base`, with the number that the scenario varies."""
    match scenario:
        case Scenario.BASELINE:
            return [base]
        case Scenario.STATIONS:
            return [replace(base, stations=stations) for stations in STATIONS]
        case Scenario.RATES:
            return [replace(base, rate=rate) for rate in RATES]
        case Scenario.WORKERS:
            return [replace(base, workers=workers) for workers in WORKERS]

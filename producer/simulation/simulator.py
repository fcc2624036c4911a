"""Publishes the observations of simulated stations to `weather-raw`, in batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from math import isnan
from pathlib import Path
from time import monotonic

from kafka import KafkaProducer

from producer.publish import open_producer, publish_batch
from producer.replay.clock import ReplayClock
from producer.simulation.faults import SimulatedFaults
from producer.simulation.schedule import Position, Schedule, time_of
from producer.simulation.weather import VARIABLES, SimulatedWeather
from weatherglass.consumer.client_metrics import byte_rates
from weatherglass.files import DamagedFileError, read_json, write_atomically
from weatherglass.formatting import count_noun
from weatherglass.record_headers import Origin
from weatherglass.records import Observation, iso
from weatherglass.settings import Settings
from weatherglass.simulated_stations import simulated_stations
from weatherglass.store.detection_scores import InjectedFault

REPORT_SECONDS = 10.0
SAVE_SECONDS = 1.0
PAUSE_SECONDS = 0.1
"""Time between two batches, if the broker keeps up."""
LONGEST_GAP = timedelta(hours=24)
"""After a longer interruption, the simulation continues this long before the present."""


class Simulator:
    """The observations of the simulated stations of the settings, in order of time.

    Attributes:
        start: the first position: that of an earlier run, or `simulate_start_hours` before the present.
    """

    def __init__(self, settings: Settings, earlier: Position | None, now: datetime):
        """Create a simulator; `now` is in UTC, `earlier` is where an earlier run has stopped."""
        self._stations = simulated_stations(settings.simulate_stations, settings.simulate_seed)
        weather = SimulatedWeather(self._stations, settings.simulate_seed)
        self._faults = SimulatedFaults(weather, settings.simulate_faults, settings.simulate_seed)
        start = earlier or Position((now - timedelta(hours=settings.simulate_start_hours)).timestamp(), 0)
        self.start = replace(start, seconds=max(start.seconds, (now - LONGEST_GAP).timestamp()))
        # At the speed of real time, what is missing from the past is due at once.
        origin = min(now, time_of(self.start.seconds)) if settings.simulate_speed > 1 else now
        clock = ReplayClock(now, origin, settings.simulate_speed)
        self._schedule = Schedule(len(self._stations), settings.simulate_rate, clock)

    def due(self, position: Position, now: datetime) -> tuple[list[Observation], Position]:
        """The observations from a position up to `now`, or the first of them if there are many; the position after."""
        station, seconds, after = self._schedule.due(position, now)
        values = self._faults.disturbed(station, seconds)
        observations = [
            Observation(
                station_id=self._stations[index].station_id,
                timestamp=time_of(at),
                **{name: None if isnan(value) else value for name, value in zip(VARIABLES, row, strict=True)},
            )
            for index, at, row in zip(station.tolist(), seconds.tolist(), values.tolist(), strict=True)
        ]
        return observations, after

    def labels(self, first: datetime, last: datetime) -> list[InjectedFault]:
        """The injected faults that overlap a period; UTC."""
        found = self._faults.labels(len(self._stations), first.timestamp(), last.timestamp())
        return [replace(label, station_id=self._stations[index].station_id) for index, label in found]


class Publication:
    """Publishes what a simulator returns until a stop is requested.

    Args:
        save: receives the position after acknowledged batches, at most once a second and at the end.
        report: receives a line of progress every ten seconds and at the end, and its values as fields.
        save_labels: receives the injected faults of the last day, with every report.
    """

    def __init__(
        self,
        simulator: Simulator,
        save: Callable[[Position], object],
        report: Callable[..., object],
        save_labels: Callable[[Sequence[InjectedFault]], object],
    ):
        self._simulator, self._save, self._report, self._save_labels = simulator, save, report, save_labels
        self._position = simulator.start
        self.published = 0

    def run(self, settings: Settings, wait: Callable[[float], bool], clock: Callable[[], datetime]) -> None:
        """Publish until `wait`, which sleeps, returns True.

        Raises:
            PublishError: the broker cannot be reached, or did not acknowledge a batch. The next run publishes the
                batch again.
        """
        reported = saved = monotonic()
        counted = 0
        try:
            with open_producer(settings) as producer:
                while not wait(0.0 if self._publish(producer, settings.topics.raw, clock()) else PAUSE_SECONDS):
                    if monotonic() - saved >= SAVE_SECONDS:
                        saved = monotonic()
                        self._save(self._position)
                    if (seconds := monotonic() - reported) >= REPORT_SECONDS:
                        self._report_progress(producer, (self.published - counted) / seconds, clock())
                        counted, reported = self.published, monotonic()
                rate = (self.published - counted) / max(monotonic() - reported, 1e-3)
                self._report_progress(producer, rate, clock())
        finally:
            self._save(self._position)

    def _publish(self, producer: KafkaProducer, topic: str, now: datetime) -> int:
        """Publish what is due; returns the number of observations."""
        batch, after = self._simulator.due(self._position, now)
        origins = dict.fromkeys((observation.station_id for observation in batch), Origin.SIMULATED)
        publish_batch(producer, topic, batch, origins, now)
        self._position = after
        self.published += len(batch)
        return len(batch)

    def _report_progress(self, producer: KafkaProducer, rate: float, now: datetime) -> None:
        newest = time_of(self._position.seconds)
        behind = max((now - newest).total_seconds(), 0.0)
        self._report(
            f"Published {count_noun(self.published, 'observation')}, {rate:,.0f} per second, up to {iso(newest)}"
            f" ({behind:,.0f} s ago)",
            published=self.published,
            rate=round(rate, 1),
            behind_seconds=round(behind, 1),
            kafka_bytes_per_second=byte_rates([producer]),
        )
        self._save_labels(self._simulator.labels(newest - timedelta(days=1), newest))


def read_position(file: Path) -> Position | None:
    """The position that an earlier run has saved; None at the first start, or if the file is damaged."""
    try:
        return read_json(file, Position.parse, "The simulation starts from the present")
    except (FileNotFoundError, DamagedFileError):
        return None


def write_position(file: Path, position: Position) -> None:
    write_atomically(file, json.dumps(asdict(position)), durable=False)

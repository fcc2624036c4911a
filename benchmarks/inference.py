"""Latency and throughput of the inference loop: from a feature record to its committed prediction.

    python -m benchmarks.inference [--stations 20] [--rate 20] [--seconds 60] [--model FOLDER]

Starts a broker in a temporary folder, and the loop in its own process with the same code as the Ray actor. Sends two
days of hours for every station, then leading windows at a constant rate, the stations in turn, and reads the
predictions with a read-committed consumer. `--model` is the folder of a forecaster in the registry, enlarged to the
number of stations (see `benchmarks.forecast`); without it the predictions are from persistence. A latency is measured
from before the send until after the read. Also prints the lag of the consumer group halfway and at the end, which grows
if the rate exceeds the capacity, and the actual send rate, which is lower if the sender is the bottleneck.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.forecast import enlarged
from benchmarks.ports import free_ports
from producer.topic_bootstrap import bootstrap_topics
from ray_jobs.inference.inference_loop import InferenceLoop
from ray_jobs.inference.model_manager import ModelManager
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.history.hours import SLIDE, WINDOW
from weatherglass.history.prepared import station_lookup
from weatherglass.launcher.consumer_lag import lags
from weatherglass.launcher.kafka import RunningBroker
from weatherglass.record_headers import Origin, headers
from weatherglass.records import (
    VARIABLES,
    AggregatedFeatures,
    Prediction,
    Quality,
    Statistics,
    Wind,
    WindowFeatures,
)
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings, load_settings
from weatherglass.waiting import wait_until

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
PAST_HOURS = 48
TIMEOUT_SECONDS = 60.0


def window(station_id: str, time_: datetime, value: float) -> WindowFeatures:
    """The leading window of a single reading."""
    end = time_.replace(second=0, microsecond=0) + SLIDE

    def constant(value: float) -> Statistics:
        return Statistics(
            mean=value, std=None, min=value, max=value, last=value, rate_per_hour=None, trend=None, count=1
        )

    return WindowFeatures(
        station_id=station_id,
        window_start=end - WINDOW,
        window_end=end,
        aggregated_features=AggregatedFeatures(
            count=1,
            last_observation=time_,
            temperature=constant(value),
            humidity=constant(70.0 + value),
            pressure=constant(1010.0 + value),
            wind_speed=constant(4.0),
            wind=Wind(u=2.0, v=3.46, direction=210.0, steadiness=1.0, count=1),
            dew_point=1.0,
            sea_level_pressure=None,
            apparent_temperature=None,
            checks={},
            quality=dict.fromkeys(VARIABLES, Quality.OK),
        ),
    )


def serve(settings: Settings, ready: Event, stopping: Event, health: Connection) -> None:
    """Run the inference loop of one shard until `stopping` is set, then send its health."""
    service = InferenceLoop(settings, 0, ModelManager(Registry(settings), "benchmark"), station_lookup(settings))
    thread = threading.Thread(target=service.run, args=(stopping,))
    thread.start()
    while service.statistics.phase != "serving":
        time.sleep(0.05)
    ready.set()
    thread.join()
    health.send(service.health())


@contextmanager
def loop(settings: Settings) -> Iterator[Callable[[], dict[str, Any]]]:
    """Run the loop in a process with one NumPy thread, as in an actor. Yields a function: drain, and return health."""
    os.environ["OMP_NUM_THREADS"] = "1"
    spawn = multiprocessing.get_context("spawn")
    ready, stopping = spawn.Event(), spawn.Event()
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=serve, args=(settings, ready, stopping, sender), daemon=True)
    process.start()
    if not ready.wait(TIMEOUT_SECONDS):
        raise SystemExit("the loop did not start")

    def drain() -> dict[str, Any]:
        stopping.set()
        health: dict[str, Any] = receiver.recv()
        return health

    try:
        yield drain
    finally:
        stopping.set()
        process.join(TIMEOUT_SECONDS)


@dataclass(frozen=True)
class LoadResult:
    """Sent keys, the actual rate, and the lag halfway and at the end."""

    sent: list[tuple[str, datetime]]
    rate: float
    lag_halfway: int
    lag: int


class Load:
    """Sends records and reads predictions, and records the times of both."""

    def __init__(self, settings: Settings, stations: list[str]):
        bootstrap = settings.bootstrap_servers
        self.stations = stations
        self._settings = settings
        self.sent: dict[tuple[str, datetime], float] = {}
        self.received: dict[tuple[str, datetime], float] = {}
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest", group_id=None
        )
        self._consumer.assign([TopicPartition(settings.topics.predictions, number) for number in range(4)])
        self._stop = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, station_id: str, time_: datetime, value: float) -> None:
        record = window(station_id, time_, value)
        record_headers = headers(record, Origin.SIMULATED, datetime.now(UTC))
        self.sent[station_id, time_] = time.monotonic()
        self._producer.send(
            self._settings.topics.features, key=station_id.encode(), value=record.to_json(), headers=record_headers
        )

    def send_history(self) -> None:
        """Send two days of full hours of every station, and wait for the predictions of the newest."""
        for hour in range(-PAST_HOURS, 1):
            for number, station in enumerate(self.stations):
                self.send(station, START + timedelta(hours=hour), number % 10)
        self._producer.flush()
        self.wait({(station, START) for station in self.stations})

    def wait(self, keys: set[tuple[str, datetime]]) -> None:
        """Wait for the predictions of these keys."""
        if not wait_until(lambda: keys <= set(self.received), TIMEOUT_SECONDS, 0.05):
            missing = len(keys - set(self.received))
            raise SystemExit(f"{missing} predictions are missing after {TIMEOUT_SECONDS:g} s")

    def lag(self) -> int:
        return lags(self._settings)[self._settings.topics.inference_group, self._settings.topics.features] or 0

    def send_at_rate(self, rate: float, seconds: float) -> LoadResult:
        """Send records at a constant rate, the stations in turn, each a minute of event time after its previous one."""
        began, sent, halfway = time.monotonic(), [], 0
        count = int(rate * seconds)
        for number in range(count):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            if number == count // 2:
                halfway = self.lag()
            turn, station = divmod(number, len(self.stations))
            key = self.stations[station], START + timedelta(minutes=turn + 1)
            self.send(*key, float(station % 10))
            sent.append(key)
        return LoadResult(sent, count / (time.monotonic() - began), halfway, self.lag())

    def close(self) -> None:
        self._stop.set()
        self._reader.join(TIMEOUT_SECONDS)
        self._consumer.close()
        self._producer.close()

    def _read(self) -> None:
        while not self._stop.is_set():
            for records in self._consumer.poll(timeout_ms=20).values():
                now = time.monotonic()
                for record in records:
                    prediction = Prediction.from_json(record.value)
                    self.received[prediction.station_id, prediction.timestamp] = now


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stations", type=int, default=20)
    parser.add_argument("--rate", type=float, default=20.0, help="records per second, over all stations")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", type=Path, help="folder of a registered forecaster")
    options = parser.parse_args()
    # Unlike the default action, an exception stops the broker.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with tempfile.TemporaryDirectory(prefix="weatherglass-benchmark-") as scratch:
        port, controller_port = free_ports(2)
        settings = load_settings(state_dir=Path(scratch), kafka_port=port, kafka_controller_port=controller_port)
        stations = [f"station-{number}" for number in range(options.stations)]  # as `enlarged` names them
        if options.model:
            model = BoostedForecaster.load(options.model)
            model = enlarged(model, max(options.stations, len(model.stations)))
            folder = Path(scratch) / "enlarged"
            model.save(folder)
            registry = Registry(settings)
            version = registry.register(FORECASTER, folder, {}, {}, {})
            registry.promote(FORECASTER, version, "benchmark", "to be measured", {})
        broker = RunningBroker(settings)
        broker.start()
        try:
            bootstrap_topics(settings, lambda _: None)
            _measure(settings, options, stations)
        finally:
            broker.stop()


def _measure(settings: Settings, options: argparse.Namespace, stations: list[str]) -> None:
    with loop(settings) as drain:
        load = Load(settings, stations)
        load.send_history()
        result = load.send_at_rate(options.rate, options.seconds)
        newest = {station: max(key for key in result.sent if key[0] == station) for station, _ in result.sent}
        load.wait(set(newest.values()))
        load.close()
        health = drain()
    times = [1000 * (load.received[key] - load.sent[key]) for key in result.sent if key in load.received]
    cuts = statistics.quantiles(times, n=100)
    grows = result.lag > result.lag_halfway + options.rate
    print(
        f"{len(stations)} stations, {result.rate:.0f} of {options.rate:g} records/s for {options.seconds:g} s, "
        f"{'the model' if options.model else 'persistence'}: p50 {cuts[49]:.0f} ms, p95 {cuts[94]:.0f} ms, maximum "
        f"{max(times):.0f} ms; {len(times)} of {len(result.sent)} predicted"
        f"{', the others were superseded by a newer record in their batch' if len(times) < len(result.sent) else ''}; "
        f"{health['batches']} batches; lag {result.lag_halfway} halfway, {result.lag} at the end"
        f"{' and growing: the rate exceeds the capacity' if grows else ''}"
    )


if __name__ == "__main__":
    main()

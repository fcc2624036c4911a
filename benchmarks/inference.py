"""How fast the inference loop answers: from a feature record to its committed prediction, and how much it can take.

    python -m benchmarks.inference [--stations 20] [--rate 20] [--seconds 60] [--model FOLDER]

Starts a broker of its own in a temporary folder and the loop in a process of its own (in service it is a Ray actor's,
with the same code), gives every station two days of hours, then sends leading records at a steady rate, station by
station, and reads the predictions as a careful consumer does. `--model` is the folder of a forecaster in the registry,
which serves as one of so many stations (see `benchmarks.forecast`); without it persistence answers. Times are from
before the send to after the read. The lag is that of the consumer group, as any Kafka tool sees it, halfway and at the
end: if it grows, the rate is beyond its capacity, and that is said. So is the rate that was really sent, since the
sender may be the slower one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from benchmarks.forecast import enlarged
from ray_jobs.inference.model_manager import ModelManager
from ray_jobs.inference.service import InferenceService
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.history.hours import SLIDE, WINDOW
from weatherglass.history.prepared import station_lookup
from weatherglass.launcher.consumer_lag import lags
from weatherglass.launcher.kafka import RunningBroker
from weatherglass.records import (
    VARIABLES,
    AggregatedFeatures,
    Origin,
    Prediction,
    Quality,
    Statistics,
    Wind,
    WindowFeatures,
    headers,
)
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import LOOPBACK, Settings
from weatherglass.topics import FEATURES, INFERENCE_GROUP, PREDICTIONS, TOPICS

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
PAST_HOURS = 48
GIVE_UP_SECONDS = 60.0


def window(station_id: str, time_: datetime, value: float) -> WindowFeatures:
    """The leading window of a lone reading."""
    end = time_.replace(second=0, microsecond=0) + SLIDE

    def one(number: float) -> Statistics:
        return Statistics(mean=number, std=None, min=number, max=number, last=number, rate_per_hour=None, trend=None)

    numbers = {"temperature": value, "humidity": 70.0 + value, "pressure": 1010.0 + value, "wind_speed": 4.0}
    return WindowFeatures(
        station_id=station_id,
        window_start=end - WINDOW,
        window_end=end,
        aggregated_features=AggregatedFeatures(
            count=1,
            last_observation=time_,
            **{name: one(number) for name, number in numbers.items()},
            wind=Wind(u=2.0, v=3.46, direction=210.0, steadiness=1.0),
            dew_point=1.0,
            quality=dict.fromkeys(VARIABLES, Quality.OK),
        ),
    )


def serve(settings: Settings, ready: Event, stopping: Event, told: Connection) -> None:
    """The inference loop of one shard, until asked to stop; then its health is told."""
    service = InferenceService(settings, 0, ModelManager(Registry(settings), "benchmark"), station_lookup(settings))
    thread = threading.Thread(target=service.run, args=(stopping,))
    thread.start()
    while service.figures.phase != "serving":
        time.sleep(0.05)
    ready.set()
    thread.join()
    told.send(service.health())


@contextmanager
def loop(settings: Settings) -> Iterator[Callable[[], dict[str, Any]]]:
    """The loop in a process with one thread for NumPy, as an actor's; what is yielded drains it, gives its health."""
    os.environ["OMP_NUM_THREADS"] = "1"
    spawn = multiprocessing.get_context("spawn")
    ready, stopping = spawn.Event(), spawn.Event()
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=serve, args=(settings, ready, stopping, there), daemon=True)
    process.start()
    if not ready.wait(GIVE_UP_SECONDS):
        raise SystemExit("the loop did not start")

    def drained() -> dict[str, Any]:
        stopping.set()
        found: dict[str, Any] = here.recv()
        return found

    try:
        yield drained
    finally:
        stopping.set()
        process.join(GIVE_UP_SECONDS)


@dataclass(frozen=True)
class Steady:
    """What was sent, at which rate, and the lag halfway and at the end."""

    sent: list[tuple[str, datetime]]
    rate: float
    lags: tuple[int, ...]


class Load:
    """Sends records and remembers when; reads answers and remembers when."""

    def __init__(self, settings: Settings, stations: list[str]):
        bootstrap = settings.bootstrap_servers
        self.stations = stations
        self._settings = settings
        self.sent: dict[tuple[str, datetime], float] = {}
        self.answered: dict[tuple[str, datetime], float] = {}
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest", group_id=None
        )
        self._consumer.assign([TopicPartition(PREDICTIONS, number) for number in range(4)])
        self._stop = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, station_id: str, time_: datetime, value: float) -> None:
        made = window(station_id, time_, value)
        about = headers(made, Origin.SIMULATED, datetime.now(UTC))
        self.sent[station_id, time_] = time.monotonic()
        self._producer.send(FEATURES, key=station_id.encode(), value=made.to_json(), headers=about)

    def past(self) -> None:
        """Two days of full hours of every station, and wait until the newest is answered."""
        for hour in range(-PAST_HOURS, 1):
            for number, station in enumerate(self.stations):
                self.send(station, START + timedelta(hours=hour), number % 10)
        self._producer.flush()
        self.wait({(station, START) for station in self.stations})

    def wait(self, wanted: set[tuple[str, datetime]]) -> None:
        end = time.monotonic() + GIVE_UP_SECONDS
        while not wanted <= set(self.answered):
            if time.monotonic() > end:
                raise SystemExit(f"{len(wanted - set(self.answered))} answers are missing after {GIVE_UP_SECONDS:g} s")
            time.sleep(0.05)

    def lag(self) -> int:
        return lags(self._settings)[INFERENCE_GROUP, FEATURES] or 0

    def steady(self, rate: float, seconds: float) -> Steady:
        """Records at a steady rate, the stations in turn, each a minute of event time after its last."""
        began, sent, behind = time.monotonic(), [], []
        count = int(rate * seconds)
        for number in range(count):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            if number == count // 2:
                behind.append(self.lag())
            turn, place = divmod(number, len(self.stations))
            key = self.stations[place], START + timedelta(minutes=turn + 1)
            self.send(*key, float(place % 10))
            sent.append(key)
        took = time.monotonic() - began
        return Steady(sent, count / took, (*behind, self.lag()))

    def close(self) -> None:
        self._stop.set()
        self._reader.join(GIVE_UP_SECONDS)
        self._consumer.close()
        self._producer.close()

    def _read(self) -> None:
        while not self._stop.is_set():
            for records in self._consumer.poll(timeout_ms=20).values():
                now = time.monotonic()
                for record in records:
                    made = Prediction.from_json(record.value)
                    self.answered[made.station_id, made.timestamp] = now


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stations", type=int, default=20)
    parser.add_argument("--rate", type=float, default=20.0, help="records a second, over all stations")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", type=Path, help="folder of a registered forecaster")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by TERM"))  # so that the broker is stopped, too
    with tempfile.TemporaryDirectory(prefix="weatherglass-benchmark-") as scratch:
        ports = dict(zip(("kafka_port", "kafka_controller_port"), free_ports(2), strict=True))
        settings = Settings(state_dir=Path(scratch), **ports)
        stations = [f"station-{number}" for number in range(chosen.stations)]  # as `enlarged` names them
        if chosen.model:
            model = BoostedForecaster.load(chosen.model)
            model = enlarged(model, max(chosen.stations, len(model.stations)))
            folder = Path(scratch) / "enlarged"
            model.save(folder)
            registry = Registry(settings)
            version = registry.register(FORECASTER, folder, {}, {}, {})
            registry.promote(FORECASTER, version, "benchmark", "to be measured", {})
        broker = RunningBroker(settings)
        broker.start()
        try:
            _prepare(broker.bootstrap_servers)
            _measure(settings, chosen, stations)
        finally:
            broker.stop()


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def _prepare(bootstrap: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(t.name, t.partitions, 1, topic_configs=dict(t.broker_config)) for t in TOPICS])
    admin.close()


def _measure(settings: Settings, chosen: argparse.Namespace, stations: list[str]) -> None:
    with loop(settings) as drained:
        load = Load(settings, stations)
        load.past()
        done = load.steady(chosen.rate, chosen.seconds)
        newest = {station: max(key for key in done.sent if key[0] == station) for station, _ in done.sent}
        load.wait(set(newest.values()))
        load.close()
        health = drained()
    times = [1000 * (load.answered[key] - load.sent[key]) for key in done.sent if key in load.answered]
    cuts = statistics.quantiles(times, n=100)
    overtaken = len(times) < len(done.sent)
    grows = done.lags[1] > done.lags[0] + chosen.rate
    print(
        f"{len(stations)} stations, {done.rate:.0f} of {chosen.rate:g} records/s for {chosen.seconds:g} s, "
        f"{'the model' if chosen.model else 'persistence'}: p50 {cuts[49]:.0f} ms, p95 {cuts[94]:.0f} ms, longest "
        f"{max(times):.0f} ms; {len(times)} of {len(done.sent)} answered"
        f"{', the others were overtaken by a newer one in their batch' if overtaken else ''}; "
        f"{health['batches']} batches; lag {done.lags[0]} halfway, {done.lags[1]} at the end"
        f"{', which grows: beyond capacity' if grows else ''}"
    )


if __name__ == "__main__":
    main()

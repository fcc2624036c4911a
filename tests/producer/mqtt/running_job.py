"""The job in a thread, its messages, and what arrives on `weather-raw`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from producer.mqtt.__main__ import receive
from producer.own_stations import OwnStationPublisher
from tests.producer.topic_reader import TopicReader
from tests.waiting import until
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.job import Job
from weatherglass.records import Observation, iso
from weatherglass.settings import Settings
from weatherglass.stations import STATIONS_CSV

NOW = datetime.now(UTC).replace(microsecond=0)
MAPPINGS = """
[mqtt.garden]
topic = "garden/weather"
station = "garden"
time = "time"
[mqtt.garden.values]
temperature = { field = "temp", unit = "°F" }
humidity = { field = "hum", unit = "%" }

[mqtt.roof]
topic = "roof/weather"
station = "roof"
time_of_arrival = true
values = { temperature = { field = "temp", unit = "°C" } }

[mqtt.records]
topic = "records/#"
"""


class RunningJob:
    """The job in a thread; every start is a new client with the same client id."""

    def __init__(self, settings: Settings, publisher: OwnStationPublisher):
        self.settings, self.publisher = settings, publisher
        self.folder = JobFolder(settings.jobs_dir / "receive_mqtt")
        self.folder.path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the job; it is connected and subscribed."""
        self.folder.stop.unlink(missing_ok=True)
        before = self.connections().count("connected")
        job = Job(self.folder)
        thread = threading.Thread(target=self._run, args=(job,))
        thread.start()
        try:
            until("the connection", lambda: self.connections().count("connected") > before)
            yield
        finally:
            self.folder.request_stop("test")
            thread.join()

    def progress(self) -> list[dict[str, Any]]:
        if not self.folder.progress.exists():
            return []
        lines = self.folder.progress.read_text().split("\n")[:-1]  # the last line may be incomplete
        return [json.loads(line) for line in lines]

    def connections(self) -> list[str]:
        """The reported states of the connection, without repetitions."""
        return [state for state, _ in groupby(line["connection"] for line in self.progress())]

    def rejected(self) -> dict[str, int]:
        """The number of rejected messages by reason, as last reported."""
        reported: list[dict[str, int]] = [line["rejected"] for line in self.progress() if "rejected" in line]
        return reported[-1]

    def _run(self, job: Job) -> None:
        while not job.stop_requested():
            receive(self.settings, self.publisher, job)


def with_files(settings: Settings) -> Settings:
    settings.state_dir.mkdir(exist_ok=True)
    own = "".join(f"{name},{name},,59.9,10.7,23,Europe/Oslo,,,\n" for name in ("garden", "roof"))
    settings.station_table.write_text(STATIONS_CSV.read_text() + own)
    settings.mappings.write_text(MAPPINGS, encoding="utf-8")
    return settings


def message(minutes: int, **values: float) -> str:
    return json.dumps({"time": iso(NOW - timedelta(minutes=minutes)), **(values or {"temp": 59})})


def arrived(reader: TopicReader, count: int) -> list[Observation]:
    """The observations on `weather-raw` when there are `count`, in order of time."""
    until(f"{count} records", lambda: reader.count() >= count)
    return sorted(reader.observations(), key=lambda observation: (observation.timestamp, observation.station_id))


def minutes_ago(observations: Sequence[Observation]) -> list[float]:
    return [(NOW - observation.timestamp) / timedelta(minutes=1) for observation in observations]

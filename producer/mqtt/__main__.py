"""`python -m producer.mqtt <job folder>`: the long-lived job that publishes MQTT messages of own stations."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from time import monotonic

from producer.incoming import FileState
from producer.mappings import MappingError, read_mappings
from producer.mqtt.receiver import REPORT_SECONDS, ConnectionState, Receiver
from producer.own_stations import OwnStationPublisher
from weatherglass.jobs.job import Job, job_lifecycle
from weatherglass.settings import Settings, load_settings
from weatherglass.settings_errors import SettingsError, variable

WAIT_SECONDS = 1.0


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    with job_lifecycle(folder) as job:
        settings = load_settings()
        if not settings.mqtt_url:
            raise SettingsError(f"{variable('mqtt_url')} is not set")
        publisher = OwnStationPublisher(settings)
        try:
            while not job.stop_requested():
                receive(settings, publisher, job)
        finally:
            publisher.close()


def receive(settings: Settings, publisher: OwnStationPublisher, job: Job) -> None:
    """Receive messages until the mapping file changes or a stop is requested."""
    state = FileState.of(settings.mappings)
    try:
        mappings = read_mappings(settings).mqtt
    except MappingError as error:
        wait_for_change(settings, state, job, str(error))
        return
    if not mappings:
        wait_for_change(settings, state, job, f"No message is received: {settings.mappings} has no entry [mqtt.…]")
        return
    receiver = Receiver(settings, mappings, publisher, job)
    with receiver.connected():
        reported, last = monotonic(), receiver.summary()
        while not job.stop_requested() and FileState.of(settings.mappings) == state:
            receiver.process()
            if monotonic() - reported >= REPORT_SECONDS and (summary := receiver.summary()) != last:
                reported, last = monotonic(), summary
                receiver.report()
        receiver.report()


def wait_for_change(settings: Settings, state: FileState | None, job: Job, message: str) -> None:
    job.report(message, connection=ConnectionState.NOT_CONFIGURED)
    while not job.wait(WAIT_SECONDS) and FileState.of(settings.mappings) == state:
        job.heartbeat()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""`python -m producer.simulation <job folder>`: the long-lived job that publishes simulated observations."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from producer.publish import PublishError
from producer.simulation.simulator import Publication, Simulator, read_position, write_position
from weatherglass.formatting import first_line
from weatherglass.jobs.job import Job, job_lifecycle
from weatherglass.settings import Settings, load_settings
from weatherglass.store.detection_scores import InjectedFault, save_faults
from weatherglass.store.engine import open_store

RETRY_SECONDS = 2.0


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    with job_lifecycle(folder) as job:
        run(load_settings(), job)


def run(settings: Settings, job: Job) -> None:
    """Publish until a stop is requested; after a failure of the broker, continue with the last acknowledged batch."""
    file = job.folder.path / "position.json"
    store = open_store(settings.store_url)

    def save_labels(labels: Sequence[InjectedFault]) -> None:
        try:
            with store.begin() as connection:
                save_faults(connection, labels)
        except SQLAlchemyError as error:
            job.report(f"Labels of faults not saved: {first_line(error)}")

    def wait(seconds: float) -> bool:
        job.heartbeat()
        return job.wait(seconds)

    job.report(f"Simulating {settings.simulate_stations} stations, {settings.simulate_rate:g} observations per second")
    try:
        while not job.stop_requested():
            simulator = Simulator(settings, read_position(file), datetime.now(UTC))
            publication = Publication(
                simulator, lambda position: write_position(file, position), job.report, save_labels
            )
            try:
                publication.run(settings, wait, lambda: datetime.now(UTC))
            except PublishError as error:
                job.report(f"{error}; trying again")
                job.wait(RETRY_SECONDS)
    finally:
        store.dispose()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

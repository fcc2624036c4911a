"""Write observations, features, predictions and shadow predictions from their topics into the store.

    python -m weatherglass.sink <job folder>

Each poll is one database transaction of upserts. The offsets are committed to the group `dashboard-consumers` after the
transaction, so records that are read again after a crash change nothing. The job assigns all partitions itself instead
of joining a consumer group session, because there is only one instance; a new process therefore starts without waiting
for the session of the old one to expire. Invalid records are skipped and logged; those of `weather-raw` are also in
`weather-rejected`.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from pydantic import ValidationError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from weatherglass.formatting import count_noun, first_line
from weatherglass.jobs.job import Job, job_lifecycle
from weatherglass.qc.observation_checks import RejectionReason, check_timestamp
from weatherglass.records import Observation, Origin, Prediction, Record, WindowFeatures, inputs_hash, iso, origin
from weatherglass.settings import Settings, load_settings
from weatherglass.store import latest_windows, observations, predictions, shadow
from weatherglass.store.engine import open_store
from weatherglass.topics import FEATURES, GROUPS, PREDICTIONS, RAW, SHADOW, STORE_GROUP

log = logging.getLogger(__name__)

POLL_MS = 200
BATCH = 2_000
REPORT_SECONDS = 2.0
METADATA_SECONDS = 60
"""Interval at which new partitions of the topics are detected."""
THIN_SECONDS = 86_400.0
STORE_TIMEOUT = 120.0
"""Seconds for which the job retries before it fails because the store is unavailable."""
MAX_RETRY_PAUSE = 10.0

RECORD_TYPES: dict[str, type[Record]] = {
    RAW: Observation,
    FEATURES: WindowFeatures,
    PREDICTIONS: Prediction,
    SHADOW: Prediction,
}
Save = Callable[[Connection, Sequence, Sequence[str | None], datetime, Origin | None], None]
"""Arguments: connection, records, the hash of the inputs of each record (predictions only), time, source."""
SAVE_FUNCTIONS: dict[str, Save] = {
    RAW: lambda connection, records, _, now, source: observations.save(connection, records, now, source),
    FEATURES: lambda connection, records, _, now, source: latest_windows.save(connection, records, now, source),
    PREDICTIONS: lambda connection, records, inputs, now, source: predictions.save(
        connection, records, now, source, inputs
    ),
    SHADOW: lambda connection, records, inputs, now, _: shadow.save(connection, records, now, inputs),
}
Batches = dict[tuple[str, Origin | None], list[tuple[Record, str | None]]]
"""(topic, source) -> records with the hash of their inputs."""


class StoreError(RuntimeError):
    """The store was unavailable for too long."""


class Sink:
    """Reads the topics and writes to the store."""

    def __init__(self, settings: Settings, job: Job):
        self.job = job
        self.settings = settings
        self.url = settings.store_url
        self.store: Engine = open_store(self.url)
        self.consumer = KafkaConsumer(
            bootstrap_servers=settings.bootstrap_servers,
            group_id=STORE_GROUP,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            metadata_max_age_ms=METADATA_SECONDS * 1000,
        )
        self.counts: Counter[str] = Counter()
        """Stored records by topic, and `skipped`, since the last report."""
        self._reported_at = self._assigned_at = 0.0
        self._thinned_at: float | None = None

    def run(self) -> None:
        """Run until the job is asked to stop.

        Raises:
            StoreError: the store was unavailable for `STORE_TIMEOUT`. No record is lost: the next run continues at the
                committed offsets.
        """
        while not self.job.stop_requested():
            self._assign_partitions()
            polled = self.consumer.poll(timeout_ms=POLL_MS, max_records=BATCH)
            if polled:
                self._store([record for records in polled.values() for record in records])
                self.consumer.commit()
                self._thin()
            self.job.heartbeat()
            self._report()

    def close(self) -> None:
        self.consumer.close()
        self.store.dispose()

    def _thin(self) -> None:
        """Thin old predictions, at the first poll and then once a day."""
        if self._thinned_at is not None and time.monotonic() - self._thinned_at < THIN_SECONDS:
            return
        with self.store.begin() as connection:
            deleted = predictions.thin(connection, datetime.now(UTC))
            shadow.thin(connection, datetime.now(UTC))
        self._thinned_at = time.monotonic()
        if deleted:
            self.job.report(f"Deleted {count_noun(deleted, 'old prediction')}, keeping one per hour")

    def _assign_partitions(self) -> None:
        """Assign all partitions of the topics, at the start and when partitions are added."""
        if self._assigned_at and time.monotonic() - self._assigned_at < METADATA_SECONDS:
            return
        available = {
            TopicPartition(topic, number)
            for topic in GROUPS[STORE_GROUP]
            for number in self.consumer.partitions_for_topic(topic) or ()
        }
        if available != self.consumer.assignment():
            self.consumer.assign(sorted(available))
            self.job.report(f"Reading {len(available)} partitions of {', '.join(GROUPS[STORE_GROUP])}")
        self._assigned_at = time.monotonic() if available else 0.0

    def _store(self, records: Iterable[ConsumerRecord]) -> None:
        """Save all valid records in one transaction; retry while the store is unavailable."""
        batches = self._parse(records)
        deadline = time.monotonic() + STORE_TIMEOUT
        pause = 0.5
        while True:
            try:
                self._save(batches)
                return
            except (DataError, IntegrityError):
                self._save_one_by_one(batches)
                return
            except SQLAlchemyError as error:
                message = first_line(error)
                if time.monotonic() > deadline:
                    raise StoreError(
                        f"Store unavailable for {STORE_TIMEOUT:g} s ({message}). No record is lost; restart this job "
                        "when the store is available"
                    ) from error
                self.job.report(f"Store unavailable ({message}), retrying in {pause:g} s", store_available=False)
                if self.job.wait(pause):
                    raise StoreError(f"Stopped while the store was unavailable ({message})") from error
                pause = min(pause * 2, MAX_RETRY_PAUSE)

    def _parse(self, records: Iterable[ConsumerRecord]) -> Batches:
        """Group records by topic and source; skip invalid ones."""
        batches: Batches = defaultdict(list)
        for record in records:
            try:
                parsed = RECORD_TYPES[record.topic].from_json(record.value or b"")
            except ValidationError as error:
                self._skip(f"{_position(record)}: {_first_error(error)}")
                continue
            if isinstance(parsed, Observation) and (reason := self._check_timestamp(parsed, record)):
                self._skip(f"{_position(record)}: timestamp {iso(parsed.timestamp)} too far in the {reason}")
                continue
            batches[record.topic, origin(record.headers)].append((parsed, inputs_hash(record.headers)))
        return batches

    def _check_timestamp(self, observation: Observation, record: ConsumerRecord) -> RejectionReason | None:
        """Reject readings with a wrong clock, like the features job; otherwise they would remain the newest reading."""
        arrived = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        return check_timestamp(observation.timestamp, arrived, self.settings)

    def _save(self, batches: Batches) -> None:
        now = datetime.now(UTC)
        with self.store.begin() as connection:
            for (topic, source), batch in batches.items():
                records, inputs = zip(*batch, strict=True)
                SAVE_FUNCTIONS[topic](connection, records, inputs, now, source)
        for (topic, _), batch in batches.items():
            self.counts[topic] += len(batch)

    def _save_one_by_one(self, batches: Batches) -> None:
        """Save each record in its own transaction, and skip those that the database rejects."""
        for key, batch in batches.items():
            for record in batch:
                try:
                    self._save({key: [record]})
                except (DataError, IntegrityError) as error:
                    self._skip(f"{key[0]}: rejected by the database: {error.orig}")

    def _skip(self, reason: str) -> None:
        self.counts["skipped"] += 1
        log.warning("Skipping invalid record: %s", reason)

    def _report(self) -> None:
        """Report the stored records, at most every `REPORT_SECONDS`."""
        if not self.counts or time.monotonic() - self._reported_at < REPORT_SECONDS:
            return
        stored, skipped = self.counts, self.counts["skipped"]
        self.job.report(
            f"Stored {count_noun(stored[PREDICTIONS], 'prediction')} and {count_noun(stored[RAW], 'observation')}"
            + (f", skipped {count_noun(skipped, 'invalid record')} (see job.log)" if skipped else ""),
            predictions=stored[PREDICTIONS],
            observations=stored[RAW],
            skipped=skipped,
            lag=self._lag(),
        )
        self.counts, self._reported_at = Counter(), time.monotonic()

    def _lag(self) -> int:
        """Consumer lag: records between the position and the last known end of each partition."""
        return sum(
            max(0, (self.consumer.highwater(tp) or 0) - (self.consumer.position(tp, timeout_ms=1000) or 0))
            for tp in self.consumer.assignment()
            if self.consumer.highwater(tp) is not None
        )


def _position(record: ConsumerRecord) -> str:
    return f"{record.topic}, partition {record.partition}, offset {record.offset}"


def _first_error(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'value'}: {first['msg']}"


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    with job_lifecycle(folder) as job:
        sink = Sink(load_settings(), job)
        try:
            sink.run()
        finally:
            sink.close()

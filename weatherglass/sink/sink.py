"""Write observations, features, predictions, shadow predictions and guidance from their topics into the store.

    python -m weatherglass.sink <job folder>

Each poll is one database transaction of upserts. The offsets are committed to the group `dashboard-consumers` after the
transaction, so records that are read again after a crash change nothing. The job assigns all partitions itself instead
of joining a consumer group session, because there is only one instance; a new process therefore starts without waiting
for the session of the old one to expire. Invalid records are skipped, logged and counted. Those of the topics that no
other job reads are copied to `weather-rejected`; the features job and inference copy those that they read.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from kafka import KafkaProducer
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from weatherglass.consumer.client_metrics import byte_rates
from weatherglass.consumer.record_reader import POLL_MS, RecordReader, log_skipped, record_time
from weatherglass.consumer.rejected_copy import rejected_copy
from weatherglass.consumer.validation import InvalidRecord, parse_record
from weatherglass.formatting import count_noun, first_line
from weatherglass.guidance_record import Guidance
from weatherglass.jobs.job import Job, job_lifecycle
from weatherglass.kafka_connection import client_options
from weatherglass.net import RECONNECT_MS
from weatherglass.qc.observation_checks import RejectionReason
from weatherglass.record_headers import Origin, inputs_hash, origin
from weatherglass.records import (
    Observation,
    Prediction,
    Record,
    WindowFeatures,
)
from weatherglass.settings import Settings, load_settings
from weatherglass.store import (
    alerts,
    guidance,
    latest_windows,
    observations,
    predictions,
    shadow,
    verification_rows,
    weather_alerts,
)
from weatherglass.store.engine import open_store
from weatherglass.topics import FEATURES, GUIDANCE, PREDICTIONS, RAW, SHADOW

log = logging.getLogger(__name__)

BATCH = 2_000
REPORT_SECONDS = 2.0
METADATA_SECONDS = 60
"""Interval at which new partitions of the topics are detected."""
THIN_SECONDS = 86_400.0
STORE_TIMEOUT = 120.0
"""Seconds for which the job retries before it fails because the store is unavailable."""
MAX_RETRY_PAUSE = 10.0
BROKER_TIMEOUT = 120.0
"""Seconds for which the job retries before it fails because the broker does not answer."""
BROKER_RETRY_PAUSE = 1.0
COPY_SECONDS = 30.0
"""Limit for the acknowledgement of copies on `weather-rejected`."""

RECORD_TYPES: dict[str, type[Record]] = {
    RAW: Observation,
    FEATURES: WindowFeatures,
    PREDICTIONS: Prediction,
    SHADOW: Prediction,
    GUIDANCE: Guidance,
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
    GUIDANCE: lambda connection, records, _, now, source: guidance.save(connection, records, now, source),
}
COPIED = (PREDICTIONS, SHADOW, GUIDANCE)
"""The topics, without prefix, whose invalid records the sink copies."""
Batches = dict[tuple[str, Origin | None], list[tuple[Record, ConsumerRecord]]]
"""(topic without prefix, source) -> valid records and their messages."""


class StoreError(RuntimeError):
    """The store was unavailable for too long."""


class Sink:
    """Reads the topics and writes to the store."""

    def __init__(self, settings: Settings, job: Job):
        self.job = job
        self.settings, self.topics = settings, settings.topics
        self.url = settings.store_url
        self.store: Engine = open_store(self.url)
        self.reader = RecordReader(settings, settings.topics.store_group, metadata_max_age_ms=METADATA_SECONDS * 1000)
        self.producer = KafkaProducer(
            **client_options(settings),
            linger_ms=0,
            max_block_ms=10_000,
            reconnect_backoff_max_ms=RECONNECT_MS,
        )
        self.counts: Counter[str] = Counter()
        """Stored records by topic, and `skipped`, since the last report."""
        self._rejected: list[tuple[ConsumerRecord, RejectionReason]] = []
        """Invalid records that are not copied yet."""
        self._reported_at = self._assigned_at = 0.0
        self._no_broker_since: float | None = None
        self._is_uncommitted = False
        """Whether records are stored whose offsets are not committed yet."""
        self._thinned_at: float | None = None

    def run(self) -> None:
        """Run until the job is asked to stop.

        Raises:
            StoreError: the store was unavailable for `STORE_TIMEOUT`. No record is lost: the next run continues at the
                committed offsets.
            KafkaError: the broker did not answer for `BROKER_TIMEOUT`; likewise.
        """
        while not self.job.stop_requested():
            try:
                self._process_batch()
                self._report()
                self._no_broker_since = None
            except KafkaError as error:
                self._wait_for_broker(error)
            self.job.heartbeat()

    def close(self) -> None:
        self.reader.close()
        self.producer.close(timeout=5)
        self.store.dispose()

    def _process_batch(self) -> None:
        """Store the records of one poll, then commit.

        Raises:
            KafkaError: the broker does not answer. What is stored but not committed is committed by the next call.
        """
        self._assign_partitions()
        undecodable = self.reader.undecodable
        polled = self.reader.poll(POLL_MS, BATCH)
        if skipped := self.reader.undecodable - undecodable:
            self.counts["skipped"] += skipped
        if polled:
            self._store([record for records in polled.values() for record in records])
            self._copy_rejected()
            self._thin()
            self._is_uncommitted = True
        if self._is_uncommitted:
            self.reader.commit()
            self._is_uncommitted = False

    def _wait_for_broker(self, error: KafkaError) -> None:
        """Pause before the next attempt; after `BROKER_TIMEOUT`, raise the error."""
        now = time.monotonic()
        self._no_broker_since = now if self._no_broker_since is None else self._no_broker_since
        if now - self._no_broker_since > BROKER_TIMEOUT:
            raise error
        self.job.report(f"Kafka does not answer ({error!r}), retrying")
        self.job.wait(BROKER_RETRY_PAUSE)

    def _thin(self) -> None:
        """Delete old predictions, guidance, scores and alerts, at the first poll and then once a day."""
        if self._thinned_at is not None and time.monotonic() - self._thinned_at < THIN_SECONDS:
            return
        with self.store.begin() as connection:
            now = datetime.now(UTC)
            deleted = predictions.thin(connection, now)
            shadow.thin(connection, now)
            guidance.thin(connection, now)
            verification_rows.thin(connection, now.date())
            alerts.thin(connection, now)
            weather_alerts.thin(connection, now)
        self._thinned_at = time.monotonic()
        if deleted:
            self.job.report(f"Deleted {count_noun(deleted, 'old prediction')}, keeping one per hour")

    def _assign_partitions(self) -> None:
        """Assign all partitions of the topics, at the start and when partitions are added."""
        if self._assigned_at and time.monotonic() - self._assigned_at < METADATA_SECONDS:
            return
        names = self.topics.groups[self.topics.store_group]
        available = {tp for topic in names for tp in self.reader.partitions_of(topic)}
        if available != self.reader.assignment:
            self.reader.assign(available)
            self.job.report(f"Reading {len(available)} partitions of {', '.join(names)}")
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
            except SQLAlchemyError as error:
                if _is_caused_by_a_value(error):
                    self._save_one_by_one(batches)
                    return
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
        now = datetime.now(UTC)
        for record in records:
            # A reading with a wrong clock would remain the newest; its clock is compared as in the features job.
            topic = self.topics.role(record.topic)
            arrived = record_time(record) if topic == RAW else now
            try:
                parsed = parse_record(RECORD_TYPES[topic], record.value, arrived, self.settings)
            except InvalidRecord as error:
                self._skip(record, error.reason, error)
            else:
                batches[topic, origin(record.headers)].append((parsed, record))
        return batches

    def _save(self, batches: Batches) -> None:
        now = datetime.now(UTC)
        with self.store.begin() as connection:
            for (topic, source), batch in batches.items():
                inputs = [inputs_hash(record.headers) for _, record in batch]
                SAVE_FUNCTIONS[topic](connection, [parsed for parsed, _ in batch], inputs, now, source)
        for (topic, _), batch in batches.items():
            self.counts[topic] += len(batch)

    def _save_one_by_one(self, batches: Batches) -> None:
        """Save each record in its own transaction, and skip those that the database rejects."""
        for key, batch in batches.items():
            for parsed, record in batch:
                try:
                    self._save({key: [(parsed, record)]})
                except SQLAlchemyError as error:
                    if not _is_caused_by_a_value(error):
                        raise
                    self._skip(record, RejectionReason.OUT_OF_RANGE, f"rejected by the database: {first_line(error)}")

    def _skip(self, record: ConsumerRecord, reason: RejectionReason, detail: object) -> None:
        self.counts["skipped"] += 1
        log_skipped(record, detail)
        if self.topics.role(record.topic) in COPIED:
            self._rejected.append((record, reason))

    def _copy_rejected(self) -> None:
        """Copy the invalid records to `weather-rejected`. A record that is read again is copied again."""
        try:
            copies = [
                self.producer.send(self.topics.rejected, **rejected_copy(*pair)._asdict()) for pair in self._rejected
            ]
            for copy in copies:
                copy.get(COPY_SECONDS)
        except KafkaError as error:
            log.error(
                "At most %d invalid records were not copied to %s: %r", len(self._rejected), self.topics.rejected, error
            )
        self._rejected = []

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
            lag=self.reader.lag(),
            kafka_bytes_per_second=byte_rates([self.reader.client, self.producer]),
        )
        self.counts, self._reported_at = Counter(), time.monotonic()


def _is_caused_by_a_value(error: SQLAlchemyError) -> bool:
    """Whether a value of a row cannot be stored; otherwise the store is unavailable."""
    in_binding = isinstance(error, StatementError) and not isinstance(error, DBAPIError)
    return in_binding or isinstance(error, DataError | IntegrityError)


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    with job_lifecycle(folder) as job:
        sink = Sink(load_settings(), job)
        try:
            sink.run()
        finally:
            sink.close()

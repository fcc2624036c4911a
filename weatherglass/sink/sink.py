"""The sink: predictions and observations from their topics into the store. A long-lived job without Ray.

    python -m weatherglass.sink <job folder>

Each poll is one database transaction of upserts, and its offsets are committed to the group `dashboard-consumers`
after it: what a crash repeats changes nothing. The job takes all partitions itself instead of joining a group
session, since there is only ever one of it; so a new process reads on at once, with no session of the old one to
wait for. What cannot be read is skipped with a word: `weather-raw`'s rubbish already lies in `weather-rejected`.
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

from weatherglass.formatting import counted, first_line
from weatherglass.jobs.job import Job, running
from weatherglass.qc.observation_checks import Reason, clock_fault
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
"""How soon partitions that were added to a topic are noticed."""
THIN_SECONDS = 86_400.0
STORE_PATIENCE = 120.0
"""Seconds for which a store that does not answer is waited for, before the job ends."""

KINDS: dict[str, type[Record]] = {
    RAW: Observation,
    FEATURES: WindowFeatures,
    PREDICTIONS: Prediction,
    SHADOW: Prediction,
}
Save = Callable[[Connection, Sequence, Sequence[str | None], datetime, Origin | None], None]
"""Saves records, of each the hash of its inputs beside it; only predictions have one."""
SAVES: dict[str, Save] = {
    RAW: lambda connection, records, _, now, source: observations.save(connection, records, now, source),
    FEATURES: lambda connection, records, _, now, source: latest_windows.save(connection, records, now, source),
    PREDICTIONS: lambda connection, records, inputs, now, source: predictions.save(
        connection, records, now, source, inputs
    ),
    SHADOW: lambda connection, records, inputs, now, _: shadow.save(connection, records, now, inputs),
}
Batches = dict[tuple[str, Origin | None], list[tuple[Record, str | None]]]
"""By topic and source: records with the hash of their inputs."""


class StoreError(RuntimeError):
    """The store did not answer for too long."""


class Sink:
    """Consumer, store, and what came of them."""

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
        self.stored: Counter[str] = Counter()
        self._reported = self._looked = 0.0
        self._thinned: float | None = None

    def run(self) -> None:
        """Until the job is asked to stop.

        Raises:
            StoreError: the store did not answer for `STORE_PATIENCE`; nothing is lost, the next try reads on.
        """
        while not self.job.stopping():
            self._take_partitions()
            polled = self.consumer.poll(timeout_ms=POLL_MS, max_records=BATCH)
            if polled:
                self._store([record for records in polled.values() for record in records])
                self.consumer.commit()
                self._thin()
            self.job.beat()
            self._report()

    def close(self) -> None:
        self.consumer.close()
        self.store.dispose()

    def _thin(self) -> None:
        """Once a day, the first time at the start."""
        if self._thinned is not None and time.monotonic() - self._thinned < THIN_SECONDS:
            return
        with self.store.begin() as connection:
            gone = predictions.thin(connection, datetime.now(UTC))
            shadow.thin(connection, datetime.now(UTC))
        self._thinned = time.monotonic()
        if gone:
            self.job.report(f"thinned {gone} old predictions to one an hour")

    def _take_partitions(self) -> None:
        if self._looked and time.monotonic() - self._looked < METADATA_SECONDS:
            return
        there = {
            TopicPartition(topic, number)
            for topic in GROUPS[STORE_GROUP]
            for number in self.consumer.partitions_for_topic(topic) or ()
        }
        if there != self.consumer.assignment():
            self.consumer.assign(sorted(there))
            self.job.report(f"reading {len(there)} partitions of {', '.join(GROUPS[STORE_GROUP])}")
        self._looked = time.monotonic() if there else 0.0

    def _store(self, records: Iterable[ConsumerRecord]) -> None:
        batches: Batches = defaultdict(list)
        for record in records:
            try:
                read = KINDS[record.topic].from_json(record.value or b"")
            except ValidationError as error:
                self._skip(f"{_place(record)}: {_words(error)}")
                continue
            if isinstance(read, Observation) and (fault := self._clock_fault(read, record)):
                self._skip(f"{_place(record)}: its time, {iso(read.timestamp)}, lies too far in the {fault}")
                continue
            batches[record.topic, origin(record.headers)].append((read, inputs_hash(record.headers)))
        with_patience = time.monotonic() + STORE_PATIENCE
        pause = 0.5
        while True:
            try:
                self._save(batches)
                return
            except (DataError, IntegrityError):
                self._save_one_by_one(batches)
                return
            except SQLAlchemyError as error:
                words = first_line(error)
                if time.monotonic() > with_patience:
                    raise StoreError(
                        f"the store did not answer for {STORE_PATIENCE:g} s ({words}); the topics keep everything, "
                        "start this job again when the store is back"
                    ) from error
                self.job.report(f"the store does not answer ({words}); trying again in {pause:g} s")
                if self.job.wait(pause):
                    raise StoreError(f"stopped while the store did not answer ({words})") from error
                pause = min(pause * 2, 10)

    def _clock_fault(self, observation: Observation, record: ConsumerRecord) -> Reason | None:
        """As the features job judges it, or one bad clock would be the station's newest reading for a year."""
        arrived = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        return clock_fault(observation.timestamp, arrived, self.settings)

    def _save(self, batches: Batches) -> None:
        now = datetime.now(UTC)
        with self.store.begin() as connection:
            for (topic, source), batch in batches.items():
                records, inputs = zip(*batch, strict=True)
                SAVES[topic](connection, records, inputs, now, source)
        for (topic, _), batch in batches.items():
            self.stored[topic] += len(batch)

    def _save_one_by_one(self, batches: Batches) -> None:
        """The store refused a value, and it must not take the others of its batch with it."""
        for key, batch in batches.items():
            for record in batch:
                try:
                    self._save({key: [record]})
                except (DataError, IntegrityError) as error:
                    self._skip(f"the store refuses a record of {key[0]}: {error.orig}")

    def _skip(self, why: str) -> None:
        self.stored["skipped"] += 1
        log.warning("skipped %s", why)

    def _report(self) -> None:
        """A line when something came, at most every `REPORT_SECONDS`."""
        if not self.stored or time.monotonic() - self._reported < REPORT_SECONDS:
            return
        done, skipped = self.stored, self.stored["skipped"]
        self.job.report(
            f"stored {counted(done[PREDICTIONS], 'prediction')} and {counted(done[RAW], 'observation')}"
            + (f", skipped {skipped} that could not be used (see job.log)" if skipped else ""),
            predictions=done[PREDICTIONS],
            observations=done[RAW],
            skipped=skipped,
            lag=self._lag(),
        )
        self.stored, self._reported = Counter(), time.monotonic()

    def _lag(self) -> int:
        """Records between what was read and the ends of the partitions as last fetched."""
        return sum(
            max(0, (self.consumer.highwater(tp) or 0) - (self.consumer.position(tp, timeout_ms=1000) or 0))
            for tp in self.consumer.assignment()
            if self.consumer.highwater(tp) is not None
        )


def _place(record: ConsumerRecord) -> str:
    return f"{record.topic}, partition {record.partition}, offset {record.offset}"


def _words(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'value'}: {first['msg']}"


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    with running(folder) as job:
        sink = Sink(load_settings(), job)
        try:
            sink.run()
        finally:
            sink.close()

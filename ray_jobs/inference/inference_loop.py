"""The inference loop: reads features; writes predictions, hours and offsets in one transaction per batch.

**Partition assignment.** Shard s of n reads the partitions p with p mod n = s. It assigns them itself instead of
joining a consumer group, so a restarted actor continues at once, without a session timeout. Two actors never both
write for a partition, because the stable transactional id of a shard fences its previous producer. Offsets are
committed to the group `ray-ml-inference`, where every Kafka tool shows the lag. The offset of `weather-hours` in this
group is that up to which shard 0 has copied invalid hours to `weather-rejected`; every shard reads the whole topic.

**Exactly once.** Predictions, hours, rejected records and offsets are one transaction. A failure before the commit
aborts the transaction, and the batch is written again. A commit with an unknown outcome, or a fenced producer, ends
the process; its successor resolves the transaction before it reads.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from ray_jobs.inference.canary_check import CanaryBatch
from ray_jobs.inference.deduplication import LastPredicted
from ray_jobs.inference.hour_buffer import HourBuffer, WindowBuffer
from ray_jobs.inference.model_manager import ModelManager
from ray_jobs.inference.predictor import PredictionResult, Predictor
from ray_jobs.inference.state_recovery import (
    HourlyTopicReader,
    RejectedRecords,
    partitions_of,
    replay_features,
)
from weatherglass.consumer.client_metrics import byte_rates
from weatherglass.consumer.record_reader import POLL_MS, Polled, RecordReader, log_skipped
from weatherglass.consumer.rejected_copy import rejected_copy
from weatherglass.consumer.validation import InvalidRecord, parse_record
from weatherglass.history.grid import HourGrid
from weatherglass.kafka_connection import client_options
from weatherglass.net import RECONNECT_MS
from weatherglass.record_headers import INPUTS_HEADER, Origin, headers, origin
from weatherglass.records import (
    Hour,
    WindowFeatures,
    iso,
)
from weatherglass.settings import Settings
from weatherglass.stations import Station

log = logging.getLogger(__name__)

MAX_BATCH_RECORDS = 5_000
"""Maximum records per batch: large, because only the newest record of each station in a batch is predicted, which makes
catching up cheap."""
TRANSACTION_MS = 15_000
"""The broker aborts a transaction of a lost producer after this time; until then it blocks read-committed consumers."""
ATTEMPTS = 5
"""Attempts to write one batch before the process ends and is restarted."""


class LostTransaction(RuntimeError):
    """The outcome of a transaction is unknown, or the producer is fenced; a new process must resolve it."""


@dataclass
class ServiceStatistics:
    """Counts since the start of the loop, and its state, for the supervisor.

    `rejected` are the skipped records: invalid features and hours, and what cannot be decoded.
    """

    phase: str = "starting"
    records: int = 0
    predictions: int = 0
    rejected: int = 0
    hours: int = 0
    batches: int = 0
    lag: int = 0
    batch_ms: float = 0.0
    last_heartbeat: float = 0.0
    """Monotonic clock at the last sign of progress."""


@dataclass(frozen=True)
class FeatureBatch:
    """The records of one poll.

    Attributes:
        sources: station -> origin of its observations.
    """

    records: list[ConsumerRecord]
    windows: list[WindowFeatures]
    rejected: RejectedRecords
    sources: dict[str, Origin | None]


class InferenceLoop:
    """One shard. Runs in one thread; `statistics` and `grid` can be read from other threads."""

    def __init__(self, settings: Settings, shard: int, models: ModelManager, station_of: Callable[[str], Station]):
        self._settings, self._topics = settings, settings.topics
        self._shard = shard
        self._models = models
        self._windows = WindowBuffer()
        self._hours = HourBuffer(station_of)
        self._last_predicted = LastPredicted()
        self._predictor = Predictor(self._hours, models, settings.challenger_share)
        self.statistics = ServiceStatistics(last_heartbeat=time.monotonic())
        self.grid: HourGrid | None = None
        """The hours after the last batch."""
        self._undecodable = 0
        """Those that are in the statistics or were counted by an earlier process."""
        self._clients: list[KafkaProducer | KafkaConsumer] = []
        """Those with a connection; empty before `run`."""

    def run(self, stopping: threading.Event) -> None:
        """Recover, then process batches until `stopping` is set; the current batch is finished.

        Raises:
            LostTransaction: this process must end.
        """
        self._connect()
        self._recover()
        self.statistics.phase = "serving"
        while not stopping.is_set():
            self._process_batch()
        self.statistics.phase = "drained"
        self._producer.close(timeout=5)
        self._features.close()
        self._hours_topic.close()

    def _connect(self) -> None:
        settings = self._settings
        name = f"{self._topics.inference_group}-{self._shard}"
        self._producer = KafkaProducer(
            **client_options(settings),
            client_id=name,
            transactional_id=name,
            transaction_timeout_ms=TRANSACTION_MS,
            linger_ms=0,
            max_block_ms=10_000,
            reconnect_backoff_max_ms=RECONNECT_MS,
        )
        limit = MAX_BATCH_RECORDS
        self._features = RecordReader(settings, self._topics.inference_group, client_id=name, max_poll_records=limit)
        self._hours_topic = RecordReader(settings, client_id=f"{name}-hours", max_poll_records=limit)
        self._clients = [self._producer, self._features.client, self._hours_topic.client]

    def _recover(self) -> None:
        """Rebuild the state of the previous process; nothing is predicted meanwhile."""
        self.statistics.phase = "recovering"
        began = time.monotonic()
        self._producer.init_transactions()
        self._hours_reader = HourlyTopicReader(
            self._hours_topic,
            self._settings,
            self._hours.put_shared,
            self._heartbeat,
            self._copy_hours if self._shard == 0 else None,
            self._features.committed,
        )
        hours = self._hours_reader.catch_up()
        partitions = partitions_of(self._features, self._topics.features, self._heartbeat)
        own = [tp for tp in partitions if tp.partition % self._settings.inference_actors == self._shard]
        starts = self._features.assign(own)
        replayed = 0
        for record in replay_features(self._features, starts, self._heartbeat):
            replayed += 1
            window = self._parse_window(record)
            if isinstance(window, WindowFeatures):
                self._add([window])
                self._last_predicted.mark([window])
        self._undecodable = self._features.undecodable
        self.grid = self._hours.grid()
        self._models.refresh(self.canary, reads_runs=False)  # with their number, this would stop the heartbeat
        log.info(
            "shard %d of %d reads partitions %s; read %d hours and replayed %d features in %.1f s",
            *(self._shard, self._settings.inference_actors, [tp.partition for tp in own]),
            *(hours, replayed, time.monotonic() - began),
        )

    def _process_batch(self) -> None:
        polled = self._features.poll(POLL_MS)
        self._heartbeat()
        undecodable = self._count_undecodable()
        if not polled and not undecodable:
            return
        began = time.monotonic()
        batch = self._parse(polled)
        self._hours_reader.catch_up()
        changed = self._add(batch.windows)
        results = self._predictor.predict(self._last_predicted.select(batch.windows), self._models.current)
        self.grid = self._hours.grid()
        self._commit(batch, changed, results)
        self._last_predicted.mark(batch.windows)
        self._update_statistics(batch, changed, results, began)

    def _count_undecodable(self) -> int:
        """The records that could not be decoded since the last call; the hours count in one shard only."""
        total = self._features.undecodable + (self._hours_topic.undecodable if self._shard == 0 else 0)
        new, self._undecodable = total - self._undecodable, total
        self.statistics.rejected += new
        return new

    @property
    def canary(self) -> CanaryBatch | None:
        """What a new model is validated with: the inputs of the last predictions, or else the current hours."""
        return self._predictor.canary or CanaryBatch.of_grid(self.grid)

    def _add(self, windows: list[WindowFeatures]) -> list[Hour]:
        """Add windows to the buffers; the hours that changed."""
        self._predictor.add_readings(windows)
        return [hour for hour in self._windows.add(windows) if self._hours.put_computed(hour)]

    def _commit(self, batch: FeatureBatch, hours: list[Hour], results: list[PredictionResult]) -> None:
        offsets = {tp: self._features.offset_to_commit(tp) for tp in self._features.assignment}
        if self._shard == 0:  # also without invalid hours, because the broker forgets offsets that are not renewed
            offsets |= {tp: self._hours_topic.offset_to_commit(tp) for tp in self._hours_reader.partitions}
        self._write(lambda: self._send(batch, hours, results), offsets)

    def _copy_hours(self, rejected: RejectedRecords) -> None:
        """Copy invalid hours, in the order of their offsets, in a transaction of its own."""
        offsets = {TopicPartition(r.topic, r.partition): OffsetAndMetadata(r.offset + 1, "", -1) for r, _ in rejected}
        self._write(lambda: self._send_rejected(rejected), offsets)
        self.statistics.rejected += len(rejected)

    def _write(self, send: Callable[[], None], offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        """Send records and commit offsets in one transaction.

        Raises:
            LostTransaction: this process must end.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._producer.begin_transaction()
                send()
                self._producer.send_offsets_to_transaction(offsets, self._topics.inference_group)
            except KafkaError as error:
                log.warning("attempt %d to write the batch failed: %r", attempt, error)
                self._abort(error)
                time.sleep(min(0.2 * 2**attempt, 5))
                self._heartbeat()
                continue
            try:
                self._producer.commit_transaction()
            except KafkaError as error:
                raise LostTransaction(f"the outcome of a commit is unknown: {error!r}") from error
            return
        raise LostTransaction(f"a batch could not be written in {ATTEMPTS} attempts")

    def _abort(self, cause: KafkaError) -> None:
        try:
            self._producer.abort_transaction()
        except KafkaError as error:
            raise LostTransaction(f"the transaction could not be aborted after {cause!r}: {error!r}") from error

    def _send(self, batch: FeatureBatch, hours: list[Hour], results: list[PredictionResult]) -> None:
        now = datetime.now(UTC)
        for hour in hours:
            key = f"{hour.station_id}|{iso(hour.hour)}".encode()
            source = batch.sources.get(hour.station_id)
            self._producer.send(self._topics.hours, key=key, value=hour.to_json(), headers=headers(hour, source, now))
        for result in results:
            key = result.prediction.station_id.encode()
            source = batch.sources.get(result.prediction.station_id)
            inputs = (INPUTS_HEADER, result.inputs.encode())
            for topic, prediction in (
                (self._topics.predictions, result.prediction),
                (self._topics.shadow, result.shadow),
            ):
                if prediction is not None:
                    record_headers = [*headers(prediction, source, now), inputs]
                    self._producer.send(topic, key=key, value=prediction.to_json(), headers=record_headers)
        self._send_rejected(batch.rejected)

    def _send_rejected(self, rejected: RejectedRecords) -> None:
        for record, reason in rejected:
            self._producer.send(self._topics.rejected, **rejected_copy(record, reason)._asdict())

    def _update_statistics(
        self, batch: FeatureBatch, hours: list[Hour], results: list[PredictionResult], began: float
    ) -> None:
        statistics = self.statistics
        statistics.records += len(batch.records)
        statistics.predictions += len(results)
        statistics.rejected += len(batch.rejected)
        statistics.hours += len(hours)
        statistics.batches += 1
        statistics.batch_ms = (time.monotonic() - began) * 1000
        statistics.lag = self._features.lag()
        versions = ", ".join(sorted({result.prediction.predictions.model_version for result in results})) or "none"
        log.info(
            "%d records, %d predictions by version %s, %d in shadow, %d hours, %d rejected, %.0f ms, lag %d",
            *(len(batch.records), len(results), versions, sum(result.shadow is not None for result in results)),
            *(len(hours), len(batch.rejected), statistics.batch_ms, statistics.lag),
        )
        self._heartbeat()

    def _parse(self, polled: Polled) -> FeatureBatch:
        batch = FeatureBatch([], [], [], {})
        for record in (record for records in polled.values() for record in records):
            batch.records.append(record)
            window = self._parse_window(record)
            if isinstance(window, WindowFeatures):
                batch.windows.append(window)
                batch.sources[window.station_id] = origin(record.headers)
            else:
                log_skipped(record, window)
                batch.rejected.append((record, window.reason))
        return batch

    def _parse_window(self, record: ConsumerRecord) -> WindowFeatures | InvalidRecord:
        try:
            return parse_record(WindowFeatures, record.value, datetime.now(UTC), self._settings)
        except InvalidRecord as error:
            return error

    def _heartbeat(self) -> None:
        self.statistics.last_heartbeat = time.monotonic()

    def health(self) -> dict[str, object]:
        """The statistics, active versions, bytes sent and received per second, status of each model slot, and `idle`:
        seconds since the last heartbeat.
        """
        statistics = asdict(self.statistics)
        idle = time.monotonic() - statistics.pop("last_heartbeat")
        models = self._models.current
        versions = {
            "forecaster": models.forecaster_version,
            "detector": models.detector_version,
            "challenger": models.challenger_version,
            "guidance": models.guidance.version if models.guidance else None,
        }
        statuses = {
            name: {"state": status.state, "since": iso(status.since), "reason": status.reason}
            for name, status in self._models.statuses().items()
        }
        traffic = {"kafka_bytes_per_second": byte_rates(self._clients)}
        return {"shard": self._shard, **statistics, **versions, **traffic, "models": statuses, "idle": idle}

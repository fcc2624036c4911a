"""The loop of inference: features in; predictions, hours and the offsets out, in one transaction a batch.

**Who reads what.** Shard s of n owns the partitions p with p mod n = s, by its own assignment and not by a group
session. A restarted actor therefore reads on at once, with no session timeout to wait for; and two actors can never
both write for a partition, because the stable transactional id of a shard fences whoever held it before. Offsets are
committed to the group `ray-ml-inference`, where every Kafka tool sees the lag.

**Exactly once.** Predictions, hours, rejected records and offsets are one transaction. What fails before the commit
is aborted and written again; a commit whose outcome is unknown, or a fenced producer, ends the process: the next one
settles the transaction before it reads.
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
from pydantic import ValidationError

from ray_jobs.inference.canary_check import CanaryBatch
from ray_jobs.inference.deduplication import LastPredicted
from ray_jobs.inference.hour_buffer import HourBuffer, WindowBuffer
from ray_jobs.inference.model_manager import ModelManager
from ray_jobs.inference.predictor import PredictionResult, Predictor
from ray_jobs.inference.state_recovery import POLL_MS, HourlyTopicReader, partitions_of, replay_features
from weatherglass.history.grid import HourGrid
from weatherglass.qc.observation_checks import Reason
from weatherglass.records import INPUTS_HEADER, Hour, Origin, WindowFeatures, headers, iso, origin
from weatherglass.settings import Settings
from weatherglass.stations import Station
from weatherglass.topics import FEATURES, HOURS, INFERENCE_GROUP, PREDICTIONS, REJECTED, SHADOW

log = logging.getLogger(__name__)

BATCH = 5_000
"""Records a batch at most: large, because a batch answers only each station's newest, and catching up is cheap."""
TRANSACTION_MS = 15_000
"""A transaction that its producer has left behind is aborted after this; readers wait for it no longer."""
RETRIES = 5
"""Attempts at one batch, before the process is given up for a new one."""


class LostTransaction(RuntimeError):
    """The outcome of a transaction is not known here, or the producer may not go on; a new process settles it."""


@dataclass
class ServiceStatistics:
    """What the service has done since it started, for the watcher."""

    phase: str = "starting"
    records: int = 0
    answers: int = 0
    rejected: int = 0
    hours: int = 0
    batches: int = 0
    lag: int = 0
    batch_ms: float = 0.0
    last_turn: float = 0.0
    """Monotonic clock at the last sign of progress."""


@dataclass(frozen=True)
class FeatureBatch:
    """What one poll brought."""

    records: list[ConsumerRecord]
    starts: dict[TopicPartition, int]
    windows: list[WindowFeatures]
    rejected: list[tuple[ConsumerRecord, Reason]]
    sources: dict[str, Origin | None]


class InferenceService:
    """One shard. Runs in one thread; `figures` and `grid` may be read from others."""

    def __init__(self, settings: Settings, shard: int, champions: ModelManager, station_of: Callable[[str], Station]):
        self._settings = settings
        self._shard = shard
        self._champions = champions
        self._windows = WindowBuffer()
        self._hours = HourBuffer(station_of)
        self._last = LastPredicted()
        self._answers = Predictor(self._hours, champions, settings.challenger_share)
        self.figures = ServiceStatistics(last_turn=time.monotonic())
        self.grid: HourGrid | None = None
        """The hours as of the last batch."""

    def run(self, stopping: threading.Event) -> None:
        """Recover, then serve until told to stop; the batch in hand is finished.

        Raises:
            LostTransaction: this process must end.
        """
        self._connect()
        self._recover()
        self.figures.phase = "serving"
        while not stopping.is_set():
            self._turn()
        self.figures.phase = "drained"
        self._producer.close(timeout=5)
        self._consumer.close()
        self._follower_consumer.close()

    def _connect(self) -> None:
        servers = self._settings.bootstrap_servers
        name = f"{INFERENCE_GROUP}-{self._shard}"
        common = {"bootstrap_servers": servers, "isolation_level": "read_committed", "enable_auto_commit": False}
        self._producer = KafkaProducer(
            bootstrap_servers=servers,
            client_id=name,
            transactional_id=name,
            transaction_timeout_ms=TRANSACTION_MS,
            linger_ms=0,
            max_block_ms=10_000,
        )
        self._consumer = KafkaConsumer(
            group_id=INFERENCE_GROUP, client_id=name, auto_offset_reset="earliest", max_poll_records=BATCH, **common
        )
        self._follower_consumer = KafkaConsumer(
            group_id=None, client_id=f"{name}-hours", auto_offset_reset="earliest", max_poll_records=BATCH, **common
        )

    def _recover(self) -> None:
        """Know what the process before knew; nothing is answered meanwhile."""
        self.figures.phase = "recovering"
        began = time.monotonic()
        self._producer.init_transactions()
        self._follower = HourlyTopicReader(self._follower_consumer, self._hours.follow, self._beat)
        hours = self._follower.catch_up()
        every = partitions_of(self._consumer, FEATURES, self._beat)
        own = [tp for tp in every if tp.partition % self._settings.inference_actors == self._shard]
        self._consumer.assign(own)
        committed = {tp: offset for tp in own if (offset := self._consumer.committed(tp)) is not None}
        self._consumer.pause(*(tp for tp in own if tp not in committed))
        read = 0
        for record in replay_features(self._consumer, committed, self._beat):
            read += 1
            window = _window(record)
            if isinstance(window, WindowFeatures):
                self._take([window])
                self._last.mark([window])
        self._consumer.resume(*own)
        self.grid = self._hours.grid()
        self._champions.refresh(self.canary)
        log.info(
            "shard %d of %d owns partitions %s; %d hours and %d features read again in %.1f s",
            *(self._shard, self._settings.inference_actors, [tp.partition for tp in own]),
            *(hours, read, time.monotonic() - began),
        )

    def _turn(self) -> None:
        polled = self._consumer.poll(timeout_ms=POLL_MS)
        self._beat()
        if not polled:
            return
        began = time.monotonic()
        batch = _parse(polled)
        self._follower.catch_up()
        changed = self._take(batch.windows)
        models = self._champions.current
        asked = self._last.needed(batch.windows)
        answers = self._answers.answer(asked, models)
        self.grid = self._hours.grid()
        self._commit(batch, changed, answers)
        self._last.mark(batch.windows)
        self._count(batch, changed, answers, began)

    @property
    def canary(self) -> CanaryBatch | None:
        """What a new model is tried on: the inputs of the last answers, else the present hours."""
        return self._answers.canary or CanaryBatch.of_grid(self.grid)

    def _take(self, windows: list[WindowFeatures]) -> list[Hour]:
        """Take windows into the buffers; the hours they changed."""
        self._answers.note(windows)
        return [hour for hour in self._windows.take(windows) if self._hours.put(hour)]

    def _commit(self, batch: FeatureBatch, hours: list[Hour], answers: list[PredictionResult]) -> None:
        offsets = {tp: OffsetAndMetadata(self._consumer.position(tp), "", -1) for tp in batch.starts}
        for attempt in range(1, RETRIES + 1):
            try:
                self._producer.begin_transaction()
                self._send(batch, hours, answers)
                self._producer.send_offsets_to_transaction(offsets, INFERENCE_GROUP)
            except KafkaError as error:
                log.warning("batch not written at attempt %d: %r", attempt, error)
                self._abort(error)
                time.sleep(min(0.2 * 2**attempt, 5))
                self._beat()
                continue
            try:
                self._producer.commit_transaction()
            except KafkaError as error:
                raise LostTransaction(f"whether a batch was committed is not known: {error!r}") from error
            return
        raise LostTransaction(f"a batch could not be written at {RETRIES} attempts")

    def _abort(self, cause: KafkaError) -> None:
        try:
            self._producer.abort_transaction()
        except KafkaError as error:
            raise LostTransaction(f"the producer cannot go on after {cause!r}: {error!r}") from error

    def _send(self, batch: FeatureBatch, hours: list[Hour], answers: list[PredictionResult]) -> None:
        now = datetime.now(UTC)
        for hour in hours:
            key = f"{hour.station_id}|{iso(hour.hour)}".encode()
            source = batch.sources.get(hour.station_id)
            self._producer.send(HOURS, key=key, value=hour.to_json(), headers=headers(hour, source, now))
        for answer in answers:
            key = answer.prediction.station_id.encode()
            source = batch.sources.get(answer.prediction.station_id)
            inputs = (INPUTS_HEADER, answer.inputs.encode())
            for topic, made in ((PREDICTIONS, answer.prediction), (SHADOW, answer.shadow)):
                if made is not None:
                    about = [*headers(made, source, now), inputs]
                    self._producer.send(topic, key=key, value=made.to_json(), headers=about)
        for record, reason in batch.rejected:
            place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            why = [(name, str(value).encode()) for name, value in {"reason": reason.value, **place}.items()]
            self._producer.send(REJECTED, key=record.key, value=record.value, headers=why)

    def _count(self, batch: FeatureBatch, hours: list[Hour], answers: list[PredictionResult], began: float) -> None:
        figures = self.figures
        figures.records += len(batch.records)
        figures.answers += len(answers)
        figures.rejected += len(batch.rejected)
        figures.hours += len(hours)
        figures.batches += 1
        figures.batch_ms = (time.monotonic() - began) * 1000
        figures.lag = sum(
            max(0, (self._consumer.highwater(tp) or 0) - (self._consumer.position(tp) or 0))
            for tp in self._consumer.assignment()
        )
        versions = ", ".join(sorted({answer.prediction.predictions.model_version for answer in answers})) or "none"
        log.info(
            "%d records, %d answers by version %s, %d in shadow, %d hours, %d rejected, %.0f ms, lag %d",
            *(len(batch.records), len(answers), versions, sum(answer.shadow is not None for answer in answers)),
            *(len(hours), len(batch.rejected), figures.batch_ms, figures.lag),
        )
        self._beat()

    def _beat(self) -> None:
        self.figures.last_turn = time.monotonic()

    def health(self) -> dict[str, object]:
        """The figures, the models in service and how each stands, and the seconds since the last sign of progress."""
        figures = asdict(self.figures)
        idle = time.monotonic() - figures.pop("last_turn")
        models = self._champions.current
        versions = {
            "forecaster": models.forecaster_version,
            "detector": models.detector_version,
            "challenger": models.challenger_version,
        }
        stand = {
            name: {"state": condition.state, "since": iso(condition.since), "why": condition.why}
            for name, condition in self._champions.conditions().items()
        }
        return {"shard": self._shard, **figures, **versions, "models": stand, "idle": idle}


def _window(record: ConsumerRecord) -> WindowFeatures | Reason:
    try:
        return WindowFeatures.from_json(record.value or b"")
    except ValidationError as error:
        if not record.value:
            return Reason.EMPTY
        malformed = error.errors(include_url=False)[0]["type"] == "json_invalid"
        return Reason.MALFORMED_JSON if malformed else Reason.WRONG_TYPE


def _parse(polled: dict[TopicPartition, list[ConsumerRecord]]) -> FeatureBatch:
    batch = FeatureBatch([], {tp: records[0].offset for tp, records in polled.items()}, [], [], {})
    for record in (record for records in polled.values() for record in records):
        batch.records.append(record)
        window = _window(record)
        if isinstance(window, WindowFeatures):
            batch.windows.append(window)
            batch.sources[window.station_id] = origin(record.headers)
        else:
            batch.rejected.append((record, window))
    return batch

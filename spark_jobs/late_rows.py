"""Publishes observations that arrived too late for any window to `weather-rejected`, with the reason `late`.

The windows only count late observations. For each batch that had any, according to the progress of the query, the
messages are read again, and those whose windows were all closed are published. After a crash this is unknown for
the last batches. Then all batches since the last examined one are read again; the number of that batch is kept in the
job folder. A late observation may be published twice, but none is lost.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.batches import Batch, Offsets, finished_batches
from spark_jobs.checkpoint_migration import EARLIEST, CheckpointMigration
from spark_jobs.parsing import parse, rejected
from weatherglass.history.hours import SLIDE, WINDOW
from weatherglass.jobs.folder import JobFolder
from weatherglass.qc.observation_checks import RejectionReason
from weatherglass.settings import Settings
from weatherglass.topics import RAW, REJECTED

RECORDS_PER_TASK = 100_000
"""A task takes seconds. A backlog of days becomes many tasks, and each finished task counts as activity."""


@dataclass(frozen=True)
class OffsetRange:
    """The messages of a batch on one partition: offsets [first, end); the watermark in milliseconds since 1970."""

    batch: int
    watermark: int
    topic_partition: int
    first: int
    end: int


OFFSET_RANGES = "array<struct<batch: bigint, watermark: bigint, topic_partition: int, first: bigint, end: bigint>>"
"""Type of a column of offset ranges."""


class LateRowPublisher:
    """Publishes the late observations of finished batches, and remembers which batches were examined."""

    def __init__(self, spark: SparkSession, settings: Settings, folder: Path):
        self._spark, self._settings = spark, settings
        self._checkpoint = folder / "checkpoint" / "features"
        self._file = folder / "late.json"
        self._folder = JobFolder(folder)

    def reset(self) -> None:
        """Forget the examined batches, because a new checkpoint numbers its batches from 0."""
        self._file.unlink(missing_ok=True)

    def catch_up(self, report: Callable[[str], None]) -> int:
        """Examine all batches of the checkpoint that were not examined yet; the number of published observations.

        Args:
            report: is called with a line about messages that can no longer be examined.
        """
        finished = finished_batches(self._checkpoint, -1)
        if finished and finished[-1].number < self._last_examined():  # the state belongs to a replaced checkpoint
            self._write_state(finished[-1])
        batches = [batch for batch in finished if batch.number > self._last_examined()]
        if not batches:
            return 0
        published = self.publish(self._with_known_start(batches, report))
        self._write_state(batches[-1])
        return published.total()

    def publish(self, batches: Sequence[Batch]) -> Counter[int]:
        """Publish the late observations of these batches with a single read; the number for each batch.

        Batches that were examined before are skipped.
        """
        last = self._last_examined()
        ranges = [range_ for batch in batches if batch.number > last for range_ in self._offset_ranges(batch)]
        if not ranges:
            return Counter()
        late = late_rows(self._messages(ranges), ranges, self._settings).cache()
        try:
            counts = Counter({row["batch"]: row["count"] for row in late.groupBy("batch").count().collect()})
            if counts:
                servers = self._settings.bootstrap_servers
                records = rejected(late).write.format("kafka").option("kafka.bootstrap.servers", servers)
                records.option("topic", REJECTED).save()
            return counts
        finally:
            late.unpersist()

    def mark_done(self, batch: Batch) -> None:
        """Record that this batch and all earlier ones are examined; ignored if a later batch is recorded already."""
        if batch.number > self._last_examined():
            self._write_state(batch)

    def _write_state(self, batch: Batch) -> None:
        self._folder.write_json(self._file, {"batch": batch.number, "end": batch.end})

    def _last_examined(self) -> int:
        return int(self._read_state().get("batch", -1))

    def _read_state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return state

    def _with_known_start(self, batches: list[Batch], report: Callable[[str], None]) -> list[Batch]:
        """The batches with a known start offset: without the oldest in the checkpoint, if others preceded it.

        If it were read from the beginning of the topic, every message behind the watermark would count as late.
        """
        first, *others = batches
        state, last = self._read_state(), self._last_examined()
        if first.start is None and first.number == last + 1:
            first = replace(first, start=state.get("end"))
        known = others if first.start is None else [first, *others]
        if first.start is None or first.number > last + 1:
            number, end = (known[0].number - 1, known[0].start) if known else (first.number, first.end)
            report(
                f"Late observations of batches {last + 1} to {number} are not published, because the checkpoint no "
                f"longer contains these batches: messages of {RAW} from offsets {_raw_offsets(state.get('end'))} to "
                f"{_raw_offsets(end)}"
            )
        return known

    def _offset_ranges(self, batch: Batch) -> list[OffsetRange]:
        migration = CheckpointMigration.load(self._checkpoint.parent)
        watermark = max(batch.watermark, migration.closed_until if migration else 0)
        begin = (batch.start or {}).get(RAW, {})
        if batch.number == 0 and migration:
            begin = migration.read_offsets  # the old query has examined the messages before
        ranges = (
            OffsetRange(batch.number, watermark, int(partition), begin.get(partition, EARLIEST), end)
            for partition, end in batch.end[RAW].items()
        )
        return [range_ for range_ in ranges if watermark and range_.first < range_.end]

    def _messages(self, ranges: list[OffsetRange]) -> DataFrame:
        """The messages of each partition from the first range to the last, including those between ranges."""
        starts = {str(range_.topic_partition): range_.first for range_ in reversed(ranges)}
        ends = {str(range_.topic_partition): range_.end for range_ in ranges}
        return (
            self._spark.read.format("kafka")
            .option("kafka.bootstrap.servers", self._settings.bootstrap_servers)
            .option("assign", json.dumps({RAW: [int(partition) for partition in ends]}))
            .option("startingOffsets", json.dumps({RAW: starts}))
            .option("endingOffsets", json.dumps({RAW: ends}))
            .option("maxRecordsPerPartition", RECORDS_PER_TASK)
            .option("includeHeaders", "true")
            .option("failOnDataLoss", "false")
            .load()
        )


def late_rows(messages: DataFrame, ranges: list[OffsetRange], settings: Settings) -> DataFrame:
    """The observations without an open window in their batch: windows that end at or before its watermark are closed.

    Returns:
        The columns of `parsing.parse`, with the reason `late`, and `batch`.
    """
    slide, width = (int(duration.total_seconds() * 1_000_000) for duration in (SLIDE, WINDOW))
    time = F.unix_micros("timestamp")
    last_end = time - F.pmod(time, F.lit(slide)) + F.lit(width)
    parsed = parse(messages, settings).where("reason is null").withColumn("last_end", last_end)
    candidates = parsed.where(F.col("last_end") <= max(range_.watermark for range_ in ranges) * 1000)
    text = json.dumps([asdict(range_) for range_ in ranges])
    table = messages.sparkSession.range(1).select(F.inline(F.from_json(F.lit(text), OFFSET_RANGES)))
    in_range = (
        (F.col("partition") == F.col("topic_partition"))
        & (F.col("offset") >= F.col("first"))
        & (F.col("offset") < F.col("end"))
    )
    late = candidates.join(F.broadcast(table), in_range).where(F.col("last_end") <= F.col("watermark") * 1000)
    return late.withColumn("reason", F.lit(RejectionReason.LATE.value))


def _raw_offsets(offsets: Offsets | None) -> str:
    return json.dumps(offsets.get(RAW, {})) if offsets else "unknown"

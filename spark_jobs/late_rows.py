"""Observations that came so late that no window took them: they go to `weather-rejected`, not into the void.

The windows only count what was late. So the messages of a batch that had late observations are read once more, and
those of which every window had closed are published with the reason `late`. Which batches had any, the query's progress
tells. After a crash it is not known, and all batches are read again that finished since the last one looked after; its
number is kept in the job's folder. A late row may be published twice, never not at all.
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
from weatherglass.qc.observation_checks import Reason
from weatherglass.settings import Settings
from weatherglass.topics import RAW, REJECTED

RECORDS_PER_TASK = 100_000
"""A task of seconds: what many days have left is many tasks, and each that ends is a sign of life."""


@dataclass(frozen=True)
class Span:
    """The messages of a batch on the partition `of`, offsets [first, end); the watermark in milliseconds since 1970."""

    batch: int
    watermark: int
    of: int
    first: int
    end: int


SPANS = "array<struct<batch: bigint, watermark: bigint, of: int, first: bigint, end: bigint>>"
"""Spans as a column."""


class LateRows:
    """Publishes the late observations of finished batches."""

    def __init__(self, spark: SparkSession, settings: Settings, folder: Path):
        self._spark, self._settings = spark, settings
        self._checkpoint = folder / "checkpoint" / "features"
        self._file = folder / "late.json"
        self._folder = JobFolder(folder)

    def begin_anew(self) -> None:
        """The batches are about to be counted from 0 again."""
        self._file.unlink(missing_ok=True)

    def catch_up(self, say: Callable[[str], None]) -> int:
        """Look after all batches of the checkpoint not yet looked at; the number of observations published.

        Args:
            say: takes a line about messages of which it is not known any more whether they were late.
        """
        finished = finished_batches(self._checkpoint, -1)
        if finished and finished[-1].number < self._last():  # the note is of a checkpoint that was replaced
            self._note(finished[-1])
        batches = [batch for batch in finished if batch.number > self._last()]
        if not batches:
            return 0
        published = self.publish(self._examinable(batches, say))
        self._note(batches[-1])
        return published.total()

    def publish(self, batches: Sequence[Batch]) -> Counter[int]:
        """Publish what was late in these batches, all read at once; how many observations of each batch.

        A batch that was looked after before is passed over.
        """
        last = self._last()
        spans = [span for batch in batches if batch.number > last for span in self._spans(batch)]
        if not spans:
            return Counter()
        late = late_rows(self._messages(spans), spans, self._settings).cache()
        try:
            counted = Counter({row["batch"]: row["count"] for row in late.groupBy("batch").count().collect()})
            if counted:
                servers = self._settings.bootstrap_servers
                records = rejected(late).write.format("kafka").option("kafka.bootstrap.servers", servers)
                records.option("topic", REJECTED).save()
            return counted
        finally:
            late.unpersist()

    def done(self, batch: Batch) -> None:
        """Note that this batch and those before it are looked after. A batch before the noted one changes nothing."""
        if batch.number > self._last():
            self._note(batch)

    def _note(self, batch: Batch) -> None:
        self._folder.write_json(self._file, {"batch": batch.number, "end": batch.end})

    def _last(self) -> int:
        return int(self._noted().get("batch", -1))

    def _noted(self) -> dict[str, Any]:
        try:
            noted: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return noted

    def _examinable(self, batches: list[Batch], say: Callable[[str], None]) -> list[Batch]:
        """Those of which it is known where they began: not the oldest of the checkpoint, if others came before it.

        Read from the beginning of the topic instead, it would give everything behind the watermark as late.
        """
        first, *others = batches
        noted, last = self._noted(), self._last()
        if first.start is None and first.number == last + 1:
            first = replace(first, start=noted.get("end"))
        known = others if first.start is None else [first, *others]
        if first.start is None or first.number > last + 1:
            number, end = (known[0].number - 1, known[0].start) if known else (first.number, first.end)
            say(
                f"late observations of batches {last + 1} to {number} are not looked for, since the checkpoint knows "
                f"these batches no more: messages of {RAW} from offsets {_of_raw(noted.get('end'))} to {_of_raw(end)}"
            )
        return known

    def _spans(self, batch: Batch) -> list[Span]:
        taken = CheckpointMigration.noted(self._checkpoint.parent)
        watermark = max(batch.watermark, taken.closed if taken else 0)
        begin = (batch.start or {}).get(RAW, {})
        if batch.number == 0 and taken:
            begin = taken.read  # what lies before was judged by the older query
        spans = (
            Span(batch.number, watermark, int(partition), begin.get(partition, EARLIEST), end)
            for partition, end in batch.end[RAW].items()
        )
        return [span for span in spans if watermark and span.first < span.end]

    def _messages(self, spans: list[Span]) -> DataFrame:
        """From the first of them to the last on each partition, with what lies between."""
        starts = {str(span.of): span.first for span in reversed(spans)}
        ends = {str(span.of): span.end for span in spans}
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


def late_rows(messages: DataFrame, spans: list[Span], settings: Settings) -> DataFrame:
    """The observations of which no window was open in their batch: what ends at or before its watermark is closed.

    Returns:
        What `parsing.parse` gives, with the reason `late`, and `batch`.
    """
    slide, width = (int(duration.total_seconds() * 1_000_000) for duration in (SLIDE, WINDOW))
    time = F.unix_micros("timestamp")
    last_end = time - F.pmod(time, F.lit(slide)) + F.lit(width)
    parsed = parse(messages, settings).where("reason is null").withColumn("last_end", last_end)
    maybe = parsed.where(F.col("last_end") <= max(span.watermark for span in spans) * 1000)
    text = json.dumps([asdict(span) for span in spans])
    table = messages.sparkSession.range(1).select(F.inline(F.from_json(F.lit(text), SPANS)))
    place = (F.col("partition") == F.col("of")) & (F.col("offset") >= F.col("first")) & (F.col("offset") < F.col("end"))
    late = maybe.join(F.broadcast(table), place).where(F.col("last_end") <= F.col("watermark") * 1000)
    return late.withColumn("reason", F.lit(Reason.LATE.value))


def _of_raw(offsets: Offsets | None) -> str:
    return json.dumps(offsets.get(RAW, {})) if offsets else "not known"

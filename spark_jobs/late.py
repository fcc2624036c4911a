"""Observations that came so late that no window took them: they go to `weather-rejected`, not into the void.

The windows only count what was late. So when a batch had late observations, its messages are read once more and those
of which every window had closed are published with the reason `late`. The number of the last batch looked after is kept
in the job's folder, and after a crash the batches since are looked at again: a late row may be published twice, never
not at all.
"""

from __future__ import annotations

import json
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.batches import Batch, finished_batches
from spark_jobs.parsing import parse, rejected
from spark_jobs.takeover import EARLIEST, Takeover
from weatherglass.history import SLIDE, WINDOW
from weatherglass.jobs.folder import JobFolder
from weatherglass.quality import Reason
from weatherglass.settings import Settings
from weatherglass.topics import RAW, REJECTED


class LateRows:
    """Publishes the late observations of finished batches."""

    def __init__(self, spark: SparkSession, settings: Settings, folder: Path):
        self._spark, self._settings = spark, settings
        self._checkpoint = folder / "checkpoint" / "features"
        self._file = folder / "late.json"
        self._folder = JobFolder(folder)

    def clean(self, number: int) -> None:
        """Note that a batch dropped nothing."""
        self._folder.write_json(self._file, {"batch": number})

    def begin_anew(self) -> None:
        """The batches are about to be counted from 0 again."""
        self._file.unlink(missing_ok=True)

    def publish(self) -> int:
        """Look after all batches not yet looked at; the number of observations published."""
        published = 0
        for batch in finished_batches(self._checkpoint, self._last()):
            published += self._publish(batch)
            self.clean(batch.number)
        return published

    def _last(self) -> int:
        try:
            return int(json.loads(self._file.read_text(encoding="utf-8"))["batch"])
        except FileNotFoundError:
            return -1

    def _publish(self, batch: Batch) -> int:
        taken = Takeover.noted(self._checkpoint.parent)
        watermark = max(batch.watermark, taken.closed if taken else 0)
        if watermark == 0 or batch.start == batch.end:
            return 0
        late = rejected(late_rows(self._messages(batch, taken), watermark, self._settings)).cache()
        try:
            if count := late.count():
                servers = self._settings.bootstrap_servers
                late.write.format("kafka").option("kafka.bootstrap.servers", servers).option("topic", REJECTED).save()
            return count
        finally:
            late.unpersist()

    def _messages(self, batch: Batch, taken: Takeover | None) -> DataFrame:
        end = batch.end[RAW]
        begin = batch.start.get(RAW, {})
        if batch.number == 0 and taken:
            begin = taken.read  # what lies before was judged by the older query
        start = {partition: begin.get(partition, EARLIEST) for partition in end}
        return (
            self._spark.read.format("kafka")
            .option("kafka.bootstrap.servers", self._settings.bootstrap_servers)
            .option("assign", json.dumps({RAW: [int(partition) for partition in end]}))
            .option("startingOffsets", json.dumps({RAW: start}))
            .option("endingOffsets", json.dumps({RAW: end}))
            .option("includeHeaders", "true")
            .option("failOnDataLoss", "false")
            .load()
        )


def late_rows(messages: DataFrame, watermark: int, settings: Settings) -> DataFrame:
    """The observations of which no window was open, as `parsing.parse` gives them, with the reason `late`.

    Args:
        watermark: that of the batch, milliseconds since 1970. A window is closed when it ends at or before it.
    """
    slide, width = (int(duration.total_seconds() * 1_000_000) for duration in (SLIDE, WINDOW))
    time = F.unix_micros("timestamp")
    last_end = time - F.pmod(time, F.lit(slide)) + F.lit(width)
    parsed = parse(messages, settings)
    return parsed.where(F.col("reason").isNull() & (last_end <= F.lit(watermark * 1000))).withColumn(
        "reason", F.lit(Reason.LATE.value)
    )

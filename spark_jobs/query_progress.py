"""What the streaming queries say about themselves, as events for the job's loop and as words for its log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import SparkSession

from spark_jobs import jvm
from spark_jobs.window_features import AHEAD, FAILED, LATE
from weatherglass.formatting import counted
from weatherglass.records import iso
from weatherglass.topics import RAW


@dataclass(frozen=True)
class QueryProgress:
    """A query's batch, or (`batch` None) that it looked and found nothing new."""

    query: str
    batch: dict[str, Any] | None


class Events:
    """The queries' progress, in the order in which Spark tells it."""

    def __init__(self, spark: SparkSession) -> None:
        self._told = jvm.query_events(spark)

    def next(self, seconds: float) -> list[QueryProgress]:
        """The next ones: what there is, or the first that comes within so long."""
        found = []
        told: str | None = self._told.next(int(seconds * 1000))
        while told is not None:
            found.append(_progress(told))
            told = self._told.next(0)
        return found


def _progress(told: str) -> QueryProgress:
    if told.startswith("{"):
        batch = json.loads(told)
        return QueryProgress(batch["name"], batch)
    return QueryProgress(told, None)


def figures(batch: dict[str, Any]) -> dict[str, Any]:
    """The figures of a batch of the features query, for machines."""
    source, operator = batch["sources"][0], batch["stateOperators"][0]
    end = (source["endOffset"] or {}).get(RAW, {})
    latest = (source["latestOffset"] or {}).get(RAW, {})
    observed = batch.get("observedMetrics", {})
    newest = batch["eventTime"].get("max")
    return {
        "batch": batch["batchId"],
        "rows": batch["numInputRows"],
        "rows_per_second": round(batch.get("inputRowsPerSecond") or 0.0, 1),
        "lag": {partition: offset - end.get(partition, 0) for partition, offset in latest.items()},
        "watermark": batch["eventTime"].get("watermark"),
        "newest": iso(datetime.fromisoformat(newest) - AHEAD) if newest else None,
        "windows_sent": batch["sink"]["numOutputRows"],
        "state_rows": operator["numRowsTotal"],
        "state_bytes": operator["memoryUsedBytes"],
        "too_late": observed.get(LATE, {}).get(LATE) or 0,
        "failed_values": {check: count for check, count in observed.get(FAILED, {}).items() if count},
        "ms": batch["durationMs"]["triggerExecution"],
        "ms_by_phase": batch["durationMs"],
    }


def in_words(figures: dict[str, Any], late: int) -> str:
    """One line for the task log."""
    lag = sum(figures["lag"].values())
    return (
        f"batch {figures['batch']}: {counted(figures['rows'], 'observation')} ({figures['rows_per_second']:g}/s) "
        f"in {figures['ms']} ms, {counted(figures['windows_sent'], 'window')} sent, {lag} waiting, "
        f"newest {figures['newest'] or 'none'}, watermark {figures['watermark']}"
        + "".join(f", {count} failed the check {name}" for name, count in figures["failed_values"].items())
        + (f", {late} too late for any window (in weather-rejected)" if late else "")
    )


class Work:
    """Whether the running tasks get on, so that long work is told from work that hangs."""

    def __init__(self, spark: SparkSession):
        self._store = spark.sparkContext._jsc.sc().statusStore()
        self._last = 0

    def moved(self) -> bool:
        """True if the running stages have read, shuffled or finished more since the last call."""
        stages = self._store.activeStages()
        done = 0
        for i in range(stages.size()):
            stage = stages.apply(i)
            done += stage.inputRecords() + stage.shuffleReadRecords() + stage.shuffleWriteRecords()
            done += stage.numCompleteTasks() + stage.stageId()
        moved, self._last = done not in (0, self._last), done
        return moved

"""Progress events of the streaming queries: for the main loop of the job, and as values and text for its reports."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import SparkSession

from spark_jobs import jvm
from spark_jobs.window_features import FAILED_METRIC, LATE_METRIC, WATERMARK_SHIFT
from weatherglass.formatting import count_noun
from weatherglass.records import iso
from weatherglass.topics import RAW


@dataclass(frozen=True)
class QueryProgress:
    """Progress of one query: a finished batch, or `batch` None if the query is idle."""

    query: str
    batch: dict[str, Any] | None


class QueryEventQueue:
    """Progress events of all queries, in the order in which Spark sends them."""

    def __init__(self, spark: SparkSession) -> None:
        self._events = jvm.query_events(spark)

    def next(self, seconds: float) -> list[QueryProgress]:
        """All pending events; if there is none, the first that arrives within `seconds`."""
        events = []
        event: str | None = self._events.next(int(seconds * 1000))
        while event is not None:
            events.append(_parse_event(event))
            event = self._events.next(0)
        return events


def _parse_event(event: str) -> QueryProgress:
    if event.startswith("{"):
        batch = json.loads(event)
        return QueryProgress(batch["name"], batch)
    return QueryProgress(event, None)


def batch_metrics(batch: dict[str, Any]) -> dict[str, Any]:
    """Metrics of a batch of the features query, as fields of a progress report."""
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
        "newest": iso(datetime.fromisoformat(newest) - WATERMARK_SHIFT) if newest else None,
        "windows_sent": batch["sink"]["numOutputRows"],
        "state_rows": operator["numRowsTotal"],
        "state_bytes": operator["memoryUsedBytes"],
        "too_late": observed.get(LATE_METRIC, {}).get(LATE_METRIC) or 0,
        "failed_values": {check: count for check, count in observed.get(FAILED_METRIC, {}).items() if count},
        "ms": batch["durationMs"]["triggerExecution"],
        "ms_by_phase": batch["durationMs"],
    }


def batch_summary(metrics: dict[str, Any], late: int) -> str:
    """One line about a batch for the task log.

    Args:
        metrics: of `batch_metrics`.
        late: number of observations published as late.
    """
    lag = sum(metrics["lag"].values())
    return (
        f"Batch {metrics['batch']}: {count_noun(metrics['rows'], 'observation')} ({metrics['rows_per_second']:g}/s) "
        f"in {metrics['ms']} ms, {count_noun(metrics['windows_sent'], 'window')} published, lag {lag}, "
        f"newest {metrics['newest'] or 'none'}, watermark {metrics['watermark']}"
        + "".join(f", {count} failed the check {name}" for name, count in metrics["failed_values"].items())
        + (f", {late} too late for any window (see weather-rejected)" if late else "")
    )


class TaskActivity:
    """Detects whether the running tasks advance, to distinguish long work from a hang."""

    def __init__(self, spark: SparkSession):
        self._store = spark.sparkContext._jsc.sc().statusStore()
        self._last = 0

    def advanced(self) -> bool:
        """True if the running stages have read, shuffled or finished more since the last call."""
        stages = self._store.activeStages()
        current = 0
        for i in range(stages.size()):
            stage = stages.apply(i)
            current += stage.inputRecords() + stage.shuffleReadRecords() + stage.shuffleWriteRecords()
            current += stage.numCompleteTasks() + stage.stageId()
        advanced, self._last = current not in (0, self._last), current
        return advanced

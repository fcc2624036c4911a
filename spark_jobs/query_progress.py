"""Progress events of the streaming query: for the main loop of the job, and as values and text for its reports."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from pyspark.sql import SparkSession

from spark_jobs import jvm
from spark_jobs.stream_records import FAILED_METRIC, LATE_METRIC, REJECTED_METRIC, TIME_SHIFT
from weatherglass.formatting import count_noun
from weatherglass.records import iso

Event = dict[str, Any] | None
"""Progress of a finished batch, or None if the query is idle."""


class QueryEventQueue:
    """Progress events of the query, in the order in which Spark sends them."""

    def __init__(self, spark: SparkSession) -> None:
        self._events = jvm.query_events(spark)

    def next(self, seconds: float) -> list[Event]:
        """All pending events; if there is none, the first that arrives within `seconds`."""
        events = []
        event: str | None = self._events.next(int(seconds * 1000))
        while event is not None:
            events.append(_parse_event(event))
            event = self._events.next(0)
        return events


def _parse_event(event: str) -> Event:
    batch: Event = json.loads(event) if event.startswith("{") else None
    return batch


def batch_metrics(batch: dict[str, Any], topic: str) -> dict[str, Any]:
    """Metrics of a batch that reads `topic`, as fields of a progress report."""
    source, operator = batch["sources"][0], batch["stateOperators"][0]
    end = (source["endOffset"] or {}).get(topic, {})
    latest = (source["latestOffset"] or {}).get(topic, {})
    observed = batch.get("observedMetrics", {})
    late = observed.get(LATE_METRIC, {}).get(LATE_METRIC) or 0
    rejected = {reason: count for reason, count in observed.get(REJECTED_METRIC, {}).items() if count}
    newest = batch["eventTime"].get("max")
    return {
        "batch": batch["batchId"],
        "rows": batch["numInputRows"],
        "rows_per_second": round(batch.get("inputRowsPerSecond") or 0.0, 1),
        "lag": {partition: offset - end.get(partition, 0) for partition, offset in latest.items()},
        "newest": iso(datetime.fromisoformat(newest) - TIME_SHIFT) if newest else None,
        "windows_sent": batch["sink"]["numOutputRows"] - late - sum(rejected.values()),
        "state_rows": operator["numRowsTotal"],
        "state_bytes": operator["memoryUsedBytes"],
        "late": late,
        "rejected": rejected,
        "failed_values": {check: count for check, count in observed.get(FAILED_METRIC, {}).items() if count},
        "ms": batch["durationMs"]["triggerExecution"],
        "ms_by_phase": batch["durationMs"],
    }


def batch_summary(metrics: dict[str, Any]) -> str:
    """One line about a batch for the task log, from `batch_metrics`."""
    lag = sum(metrics["lag"].values())
    rejected = metrics["rejected"] | ({"late": metrics["late"]} if metrics["late"] else {})
    return (
        f"Batch {metrics['batch']}: {count_noun(metrics['rows'], 'observation')} ({metrics['rows_per_second']:g}/s) "
        f"in {metrics['ms']} ms, {count_noun(metrics['windows_sent'], 'window')} published, lag {lag}, "
        f"newest {metrics['newest'] or 'none'}"
        + "".join(f", {count} failed the check {name}" for name, count in metrics["failed_values"].items())
        + "".join(
            f", {count} rejected as {reason} (see weather-rejected)" for reason, count in sorted(rejected.items())
        )
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

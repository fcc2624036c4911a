"""Progress events of Spark as the fields and the line of a report."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from spark_jobs.query_progress import batch_metrics, batch_summary
from spark_jobs.stream_records import FAILED_METRIC, LATE_METRIC, REJECTED_METRIC, TIME_SHIFT
from weatherglass.topics import RAW

NEWEST = "2026-01-05T12:14:30.000Z"


def event(**fields: Any) -> dict[str, Any]:
    """A progress event; the time of the newest observation is shifted as in the query."""
    return {
        "name": "features",
        "batchId": 7,
        "numInputRows": 25,
        "inputRowsPerSecond": 12.3456,
        "eventTime": {
            "max": (datetime.fromisoformat(NEWEST) + TIME_SHIFT).isoformat(),
        },
        "durationMs": {"triggerExecution": 420, "addBatch": 300},
        "sources": [
            {
                "endOffset": {RAW: {"0": 100, "1": 50}},
                "latestOffset": {RAW: {"0": 130, "1": 50, "2": 9}},
            }
        ],
        "stateOperators": [{"numRowsTotal": 120, "memoryUsedBytes": 9000}],
        "sink": {"numOutputRows": 48},
        "observedMetrics": {
            LATE_METRIC: {LATE_METRIC: 3},
            REJECTED_METRIC: {"past": 5, "future": 0},
            FAILED_METRIC: {"range": 2, "step": 0},
        },
        **fields,
    }


def test_a_batch_has_the_values_of_its_event() -> None:
    metrics = batch_metrics(event(), RAW)
    assert timedelta(0) != TIME_SHIFT
    assert datetime.fromisoformat(metrics.pop("newest")) == datetime.fromisoformat(NEWEST)
    assert metrics == {
        "batch": 7,
        "rows": 25,
        "rows_per_second": 12.3,
        "lag": {"0": 30, "1": 0, "2": 9},
        "windows_sent": 40,
        "state_rows": 120,
        "state_bytes": 9000,
        "late": 3,
        "rejected": {"past": 5},
        "failed_values": {"range": 2},
        "ms": 420,
        "ms_by_phase": {"triggerExecution": 420, "addBatch": 300},
    }


@pytest.mark.parametrize(
    ("end", "latest", "lag"), [(None, None, {}), (None, {RAW: {"0": 4}}, {"0": 4}), ({RAW: {"0": 4}}, None, {})]
)
def test_unknown_offsets_give_the_lag_from_the_beginning_or_none(end: Any, latest: Any, lag: dict[str, int]) -> None:
    assert batch_metrics(event(sources=[{"endOffset": end, "latestOffset": latest}]), RAW)["lag"] == lag


def test_a_batch_without_observations_has_no_newest_one_and_no_failures() -> None:
    empty = event(eventTime={}, observedMetrics={}, inputRowsPerSecond=None)
    metrics = batch_metrics(empty, RAW)
    assert (metrics["newest"], metrics["late"], metrics["rejected"], metrics["failed_values"]) == (None, 0, {}, {})
    assert metrics["rows_per_second"] == 0.0


def test_the_summary_contains_the_numbers_of_the_batch() -> None:
    metrics = batch_metrics(event(), RAW)
    words = batch_summary(metrics).replace(",", "").split()
    assert {"25", "(12.3/s)", "420", "40", "39", "range", "5", "past", "3", "late"} <= set(words)
    quiet = batch_summary({**metrics, "failed_values": {}, "rejected": {}, "late": 0})
    assert not {"range", "5", "past", "3", "late"} & set(quiet.replace(",", "").split())

"""Five-minute values of metrics in the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from weatherglass.alerts import metrics as m
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor.metric_recorder import MetricRecorder
from weatherglass.store import metric_history

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def record(recorder: MetricRecorder, at: datetime, disk_free: float, records: float) -> None:
    sample = MetricSample(at)
    sample.put(m.DISK_FREE, disk_free)
    sample.put(m.TOPIC_RECORDS, records, "weather-raw")
    recorder.record(sample)


def recorded(store: Engine, metric: m.Metric) -> dict[str, list[tuple[datetime, float]]]:
    with store.connect() as connection:
        return metric_history.series(connection, [metric.name], START - MINUTE, START + timedelta(hours=1))[metric.name]


def test_an_interval_has_the_mean_of_a_gauge_and_the_increase_of_a_counter(store: Engine, tmp_path: Path) -> None:
    recorder = MetricRecorder(store, tmp_path)
    # The counter is reset to 3 at the third sample; the last sample belongs to the next interval.
    for minute, disk_free, records in ((0, 0.5, 100), (1, 0.4, 110), (4, 0.3, 3), (5, 0.9, 50)):
        record(recorder, START + minute * MINUTE, disk_free, records)
    ((at, mean),) = recorded(store, m.DISK_FREE)[""]
    assert (at, mean) == (START + 5 * MINUTE, pytest.approx((0.5 + 0.4 + 0.3) / 3))
    ((_, increase),) = recorded(store, m.TOPIC_RECORDS)["weather-raw"]
    assert increase == 10 + 3


def test_an_interval_is_dropped_if_the_store_is_unavailable_and_the_next_is_recorded(
    store: Engine, tmp_path: Path
) -> None:
    recorder = MetricRecorder(store, tmp_path)
    record(recorder, START, 0.5, 100)
    with store.begin() as connection:
        connection.execute(text("ALTER TABLE metric_history RENAME TO renamed"))
    record(recorder, START + 5 * MINUTE, 0.4, 120)
    with store.begin() as connection:
        connection.execute(text("ALTER TABLE renamed RENAME TO metric_history"))
    record(recorder, START + 10 * MINUTE, 0.3, 125)
    assert recorded(store, m.DISK_FREE) == {"": [(START + 10 * MINUTE, 0.4)]}
    assert recorded(store, m.TOPIC_RECORDS) == {"weather-raw": [(START + 10 * MINUTE, 20.0)]}

"""Writes the newest sample for the API, and records five-minute values of the last week in the store."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.alerts.metrics import METRICS, MetricKind
from weatherglass.alerts.sample import Labels, MetricSample
from weatherglass.formatting import first_line
from weatherglass.monitor.metric_files import write_exposition
from weatherglass.store import metric_history

log = logging.getLogger(__name__)

SeriesKey = tuple[str, Labels]
"""Metric name and labels."""


class MetricRecorder:
    """Records means of gauges and increases of counters per interval of `metric_history`.

    Args:
        folder: the monitor's job folder, from which the API reads the newest sample.
    """

    def __init__(self, store: Engine, folder: Path):
        self._store = store
        self._folder = folder
        self._gauges: defaultdict[SeriesKey, list[float]] = defaultdict(list)
        self._counters: dict[SeriesKey, float] = {}
        self._increases: defaultdict[SeriesKey, float] = defaultdict(float)
        self._interval_end: datetime | None = None

    def record(self, sample: MetricSample) -> None:
        write_exposition(self._folder, sample)
        interval_end = _interval_end(sample.at)
        if self._interval_end is not None and interval_end != self._interval_end:
            self._save(self._interval_end)
        self._interval_end = interval_end
        for metric in METRICS:
            if not metric.recorded:
                continue
            for labels, value in sample.series(metric).items():
                key = (metric.name, labels)
                if metric.kind is MetricKind.GAUGE:
                    self._gauges[key].append(value)
                    continue
                previous = self._counters.get(key)
                if previous is not None:
                    self._increases[key] += value - previous if value >= previous else value
                self._counters[key] = value

    def _save(self, at: datetime) -> None:
        """Save an interval. If the store is unavailable it is dropped, so that memory does not grow."""
        values = {key: sum(gauge) / len(gauge) for key, gauge in self._gauges.items()} | dict(self._increases)
        self._gauges.clear()
        self._increases.clear()
        try:
            with self._store.begin() as connection:
                metric_history.save(connection, at, values)
        except SQLAlchemyError as error:
            log.warning("Metrics of one interval are lost: %s", first_line(error))


def _interval_end(at: datetime) -> datetime:
    """The end of the interval that contains `at`. Intervals are aligned to full minutes of the clock."""
    seconds = metric_history.INTERVAL.total_seconds()
    return datetime.fromtimestamp((at.timestamp() // seconds + 1) * seconds, at.tzinfo)

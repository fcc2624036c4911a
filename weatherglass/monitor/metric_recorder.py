"""What stays of the samples: their text for whoever scrapes, and a week of five-minute means in the store."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.alerts.metrics import METRICS, MetricKind
from weatherglass.alerts.sample import Labels, MetricSample
from weatherglass.monitor.exchange import write_exposition
from weatherglass.store import metric_history

log = logging.getLogger(__name__)

Series = tuple[str, Labels]


class MetricRecorder:
    """Args:
    folder: the watcher's own, where the API finds the newest sample.
    """

    def __init__(self, store: Engine, folder: Path):
        self._store = store
        self._folder = folder
        self._gauges: defaultdict[Series, list[float]] = defaultdict(list)
        self._counters: dict[Series, float] = {}
        self._grown: defaultdict[Series, float] = defaultdict(float)
        self._end: datetime | None = None

    def take(self, sample: MetricSample) -> None:
        write_exposition(self._folder, sample)
        end = _end_of_stretch(sample.at)
        if self._end is not None and end != self._end:
            self._save(self._end)
        self._end = end
        for metric in METRICS:
            if not metric.kept:
                continue
            for labels, value in sample.of(metric).items():
                series = (metric.name, labels)
                if metric.kind is MetricKind.GAUGE:
                    self._gauges[series].append(value)
                    continue
                before = self._counters.get(series)
                if before is not None:
                    self._grown[series] += value - before if value >= before else value
                self._counters[series] = value

    def _save(self, at: datetime) -> None:
        """A stretch that cannot be kept is lost: history may have a gap, the watcher may not grow."""
        values = {series: sum(found) / len(found) for series, found in self._gauges.items()} | dict(self._grown)
        self._gauges.clear()
        self._grown.clear()
        try:
            with self._store.begin() as connection:
                metric_history.save(connection, at, values)
        except SQLAlchemyError as error:
            log.info("a stretch of measurements is lost: %s", str(getattr(error, "orig", None) or error))


def _end_of_stretch(at: datetime) -> datetime:
    """The end of the stretch, of full minutes of the clock, in which a time lies."""
    seconds = metric_history.STRETCH.total_seconds()
    return datetime.fromtimestamp((at.timestamp() // seconds + 1) * seconds, at.tzinfo)

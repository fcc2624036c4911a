"""Conditions of alert rules: a number per subject, computed from one or several samples, and the same as PromQL.

Both forms must give the same result. They differ only where Prometheus extrapolates an increase to the edges of the
window, so rules leave a margin between normal values and the threshold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from weatherglass.alerts.metrics import Metric
from weatherglass.alerts.sample import Labels, MetricSample


class Condition(Protocol):
    """A number per subject. A subject is identified by the values of `labels`."""

    @property
    def metrics(self) -> tuple[Metric, ...]: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def window(self) -> timedelta: ...

    def values(self, samples: Sequence[MetricSample]) -> dict[Labels, float]:
        """The values now. `samples` are in order of time, the newest last."""

    def promql(self) -> str: ...


@dataclass(frozen=True)
class Latest:
    """The current value of a gauge.

    Args:
        aggregation: `max` or `min`; used by Prometheus where several targets export the same gauge.
    """

    metric: Metric
    aggregation: str = "max"
    window = timedelta()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (self.metric,)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.metric.labels

    def values(self, samples: Sequence[MetricSample]) -> dict[Labels, float]:
        return samples[-1].series(self.metric)

    def promql(self) -> str:
        names = ", ".join(self.labels)
        by = f" by ({names}) " if names else ""
        return f"{self.aggregation}{by}({self.metric.name})"


@dataclass(frozen=True)
class Increase:
    """The increase of a counter within a window, by its labels. A decrease is treated as a counter reset."""

    metric: Metric
    window: timedelta

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (self.metric,)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.metric.labels

    def values(self, samples: Sequence[MetricSample]) -> dict[Labels, float]:
        return _increase(samples, self.metric, self.window)

    def promql(self) -> str:
        names = ", ".join(self.labels)
        return f"sum by ({names}) (increase({self.metric.name}[{prometheus_duration(self.window)}]))"


@dataclass(frozen=True)
class Ratio:
    """The increase of one counter divided by the increase of another.

    There is no value while the numerator has increased by less than `min_count`.

    Args:
        numerator: the metric, and the value of its only label to select, or None for the sum over all values.
        denominator: likewise.
    """

    numerator: tuple[Metric, str | None]
    denominator: tuple[Metric, str | None]
    window: timedelta
    min_count: float
    labels: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return self.numerator[0], self.denominator[0]

    def values(self, samples: Sequence[MetricSample]) -> dict[Labels, float]:
        numerator, denominator = (self._sum(samples, *selected) for selected in (self.numerator, self.denominator))
        return {(): numerator / denominator} if denominator > 0 and numerator >= self.min_count else {}

    def _sum(self, samples: Sequence[MetricSample], metric: Metric, value: str | None) -> float:
        increases = _increase(samples, metric, self.window)
        return sum(increase for labels, increase in increases.items() if value is None or labels == (value,))

    def promql(self) -> str:
        numerator, denominator = (self._promql(*selected) for selected in (self.numerator, self.denominator))
        return f"({numerator} / ({denominator} > 0)) and {numerator} >= {self.min_count:g}"

    def _promql(self, metric: Metric, value: str | None) -> str:
        selector = f'{{{metric.labels[0]}="{value}"}}' if value is not None else ""
        return f"sum(increase({metric.name}{selector}[{prometheus_duration(self.window)}]))"


@dataclass(frozen=True)
class Quantile:
    """A quantile of the observations that a histogram counted within a window, over all labels.

    Interpolates linearly within a bucket; the lower bound of the first bucket is 0. Returns the highest finite bound
    if the quantile falls into the last, unbounded bucket. Source: Prometheus' `histogram_quantile`.
    """

    metric: Metric
    quantile: float
    window: timedelta
    labels: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (self.metric,)

    def values(self, samples: Sequence[MetricSample]) -> dict[Labels, float]:
        first, last = _window_bounds(samples, self.window)
        before, now = first.histograms(self.metric), last.histograms(self.metric)
        counts = [0] * (len(self.metric.buckets) + 1)
        for labels, current in now.items():
            earlier = before[labels].counts if labels in before else [0] * len(counts)
            for i, (count, earlier_count) in enumerate(zip(current.counts, earlier, strict=True)):
                counts[i] += count - earlier_count
        return {(): self._interpolate(counts)} if sum(counts) > 0 else {}

    def _interpolate(self, counts: list[int]) -> float:
        rank, below = self.quantile * sum(counts), 0
        bounds = self.metric.buckets
        for i, bound in enumerate(bounds):
            if below + counts[i] >= rank:
                low = bounds[i - 1] if i else 0.0
                return low + (bound - low) * (rank - below) / counts[i] if counts[i] else low
            below += counts[i]
        return bounds[-1]

    def promql(self) -> str:
        increase = f"sum by (le) (increase({self.metric.name}_bucket[{prometheus_duration(self.window)}]))"
        return f"histogram_quantile({self.quantile:g}, {increase})"


def prometheus_duration(time: timedelta) -> str:
    """A duration in Prometheus' notation: `90s`, `15m`, `2h`."""
    seconds = round(time.total_seconds())
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _window_bounds(samples: Sequence[MetricSample], window: timedelta) -> tuple[MetricSample, MetricSample]:
    last = samples[-1]
    return next(sample for sample in samples if last.at - sample.at <= window), last


def _increase(samples: Sequence[MetricSample], metric: Metric, window: timedelta) -> dict[Labels, float]:
    last = samples[-1]
    in_window = [sample.series(metric) for sample in samples if last.at - sample.at <= window]
    increases: defaultdict[Labels, float] = defaultdict(float)
    for labels in last.series(metric):
        previous: float | None = None
        for series in in_window:
            value = series.get(labels)
            if value is not None and previous is not None:
                increases[labels] += value - previous if value >= previous else value
            previous = value if value is not None else previous
        increases.setdefault(labels, 0.0)
    return dict(increases)

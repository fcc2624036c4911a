"""A sample of all metrics at one time, and its exposition for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from weatherglass.alerts.metrics import METRICS, Metric, MetricKind

Labels = tuple[str, ...]
"""The values of a metric's labels, in the order of `Metric.labels`."""
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


@dataclass
class BucketCounts:
    """State of a histogram: observations per bucket (not cumulative; the last bucket is unbounded) and their sum."""

    counts: list[int]
    total: float = 0.0


@dataclass
class MetricSample:
    """Values by metric name and labels. A value that could not be measured is missing; values are never estimated."""

    at: datetime
    values: dict[str, dict[Labels, float]] = field(default_factory=dict)
    buckets: dict[str, dict[Labels, BucketCounts]] = field(default_factory=dict)

    def put(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a value.

        Raises:
            ValueError: the number of labels is wrong.
        """
        if len(labels) != len(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, got {labels}")
        self.values.setdefault(metric.name, {})[labels] = float(value)

    def series(self, metric: Metric) -> dict[Labels, float]:
        """All values of a metric by labels."""
        return self.values.get(metric.name, {})

    def get(self, metric: Metric, *labels: str) -> float | None:
        return self.series(metric).get(labels)

    def histograms(self, metric: Metric) -> dict[Labels, BucketCounts]:
        """All histograms of a metric by labels."""
        return self.buckets.get(metric.name, {})

    def subset(self, metrics: set[str]) -> MetricSample:
        """A sample with these metrics only. Histograms are copied, because the originals continue to count."""
        copied = {
            name: {labels: BucketCounts(list(b.counts), b.total) for labels, b in histograms.items()}
            for name, histograms in self.buckets.items()
            if name in metrics
        }
        return MetricSample(self.at, {name: values for name, values in self.values.items() if name in metrics}, copied)


class Histogram:
    """Counts observations by labels, from the start of the process."""

    def __init__(self, metric: Metric):
        self.metric = metric
        self.buckets: dict[Labels, BucketCounts] = {}

    def observe(self, value: float, *labels: str) -> None:
        bounds = self.metric.buckets
        buckets = self.buckets.setdefault(labels, BucketCounts([0] * (len(bounds) + 1)))
        buckets.counts[next((i for i, bound in enumerate(bounds) if value <= bound), len(bounds))] += 1
        buckets.total += value

    def write_to(self, sample: MetricSample) -> None:
        sample.buckets[self.metric.name] = self.buckets


class SampleCollector(Collector):
    """Exports a sample with Prometheus' client library. Metrics without a value are omitted."""

    def __init__(self, sample: MetricSample):
        self._sample = sample

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            family = _family(self._sample, metric)
            if family.samples:
                yield family


def exposition(sample: MetricSample) -> str:
    """The sample in Prometheus' text format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SampleCollector(sample))
    return generate_latest(registry).decode()


def _family(sample: MetricSample, metric: Metric) -> Family:
    if metric.kind is MetricKind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        bounds = [*(str(float(bound)) for bound in metric.buckets), "+Inf"]
        for labels, buckets in sorted(sample.histograms(metric).items()):
            histogram.add_metric(
                labels, list(zip(bounds, accumulate(buckets.counts), strict=True)), sum_value=buckets.total
            )
        return histogram
    kind = CounterMetricFamily if metric.kind is MetricKind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in sorted(sample.series(metric).items()):
        family.add_metric(labels, value)
    return family

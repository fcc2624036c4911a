"""One look at the pipeline: values of the metrics at a time, and how Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from weatherglass.alerts.metrics import METRICS, Metric, MetricKind

Labels = tuple[str, ...]
"""The values of a metric's labels, in its order."""


@dataclass
class Distribution:
    """A histogram's state: counts by bucket (not yet cumulative, the last one without a bound), and the sum."""

    counts: list[int]
    total: float = 0.0


@dataclass
class MetricSample:
    """Values by metric and labels. What could not be measured is not there; nothing is ever guessed."""

    at: datetime
    values: dict[str, dict[Labels, float]] = field(default_factory=dict)
    distributions: dict[str, dict[Labels, Distribution]] = field(default_factory=dict)

    def put(self, metric: Metric, value: float, *labels: str) -> None:
        if len(labels) != len(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, got {labels}")
        self.values.setdefault(metric.name, {})[labels] = float(value)

    def of(self, metric: Metric) -> dict[Labels, float]:
        return self.values.get(metric.name, {})

    def get(self, metric: Metric, *labels: str) -> float | None:
        return self.of(metric).get(labels)

    def distributions_of(self, metric: Metric) -> dict[Labels, Distribution]:
        return self.distributions.get(metric.name, {})

    def only(self, metrics: set[str]) -> MetricSample:
        """The part of it that these metrics are; histograms are copied, since they go on counting."""
        copied = {
            name: {labels: Distribution(list(d.counts), d.total) for labels, d in found.items()}
            for name, found in self.distributions.items()
            if name in metrics
        }
        return MetricSample(self.at, {name: found for name, found in self.values.items() if name in metrics}, copied)


class Histogram:
    """Counts observations by labels, from the watcher's start on."""

    def __init__(self, metric: Metric):
        self.metric = metric
        self.found: dict[Labels, Distribution] = {}

    def observe(self, value: float, *labels: str) -> None:
        bounds = self.metric.buckets
        one = self.found.setdefault(labels, Distribution([0] * (len(bounds) + 1)))
        one.counts[next((i for i, bound in enumerate(bounds) if value <= bound), len(bounds))] += 1
        one.total += value

    def into(self, sample: MetricSample) -> None:
        sample.distributions[self.metric.name] = self.found


def exposition(sample: MetricSample) -> str:
    """Prometheus' text format, version 0.0.4. Metrics without a value are left out."""
    lines: list[str] = []
    for metric in METRICS:
        found = list(_lines(sample, metric))
        if found:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *found]
    return "\n".join(lines) + "\n" if lines else ""


def _lines(sample: MetricSample, metric: Metric) -> Iterator[str]:
    if metric.kind is not MetricKind.HISTOGRAM:
        for labels, value in sorted(sample.of(metric).items()):
            yield f"{metric.name}{_named(metric.labels, labels)} {_number(value)}"
        return
    bounds = (*(f"{bound:g}" for bound in metric.buckets), "+Inf")
    for labels, one in sorted(sample.distributions_of(metric).items()):
        running = 0
        for bound, count in zip(bounds, one.counts, strict=True):
            running += count
            yield f"{metric.name}_bucket{_named((*metric.labels, 'le'), (*labels, bound))} {running}"
        yield f"{metric.name}_sum{_named(metric.labels, labels)} {_number(one.total)}"
        yield f"{metric.name}_count{_named(metric.labels, labels)} {running}"


def _named(names: tuple[str, ...], values: Labels) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)

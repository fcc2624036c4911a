"""What a rule looks at: a number per subject, from one sample or from several; each also as PromQL.

Both must mean the same. Where they differ by nature (Prometheus extrapolates an increase to the window's edges), rules
leave a margin between fine and firing.
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
    """A number per subject, by the values of `labels`."""

    @property
    def metrics(self) -> tuple[Metric, ...]: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def window(self) -> timedelta: ...

    def values(self, past: Sequence[MetricSample]) -> dict[Labels, float]:
        """From the samples so far, oldest first, the newest last."""

    def promql(self) -> str: ...


@dataclass(frozen=True)
class Latest:
    """A gauge as it stands. `worst`: `max` or `min`, which counts where Prometheus sees it from several places."""

    metric: Metric
    worst: str = "max"
    window = timedelta()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (self.metric,)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.metric.labels

    def values(self, past: Sequence[MetricSample]) -> dict[Labels, float]:
        return past[-1].of(self.metric)

    def promql(self) -> str:
        names = ", ".join(self.labels)
        return f"{self.worst} by ({names}) ({self.metric.name})" if names else f"{self.worst}({self.metric.name})"


@dataclass(frozen=True)
class Increase:
    """How much a counter has grown in a window, by its labels; a counter that begins anew has been reset."""

    metric: Metric
    window: timedelta

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (self.metric,)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.metric.labels

    def values(self, past: Sequence[MetricSample]) -> dict[Labels, float]:
        return _increase(past, self.metric, self.window)

    def promql(self) -> str:
        names = ", ".join(self.labels)
        return f"sum by ({names}) (increase({self.metric.name}[{duration(self.window)}]))"


@dataclass(frozen=True)
class Ratio:
    """The increase of a part of a counter over that of a whole; nothing while the part grew by less than `at_least`.

    `part` and `whole` are metrics with the one value of their one label that counts, or None for all of them.
    """

    part: tuple[Metric, str | None]
    whole: tuple[Metric, str | None]
    window: timedelta
    at_least: float
    labels: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return self.part[0], self.whole[0]

    def values(self, past: Sequence[MetricSample]) -> dict[Labels, float]:
        part, whole = (self._sum(past, *which) for which in (self.part, self.whole))
        return {(): part / whole} if whole > 0 and part >= self.at_least else {}

    def _sum(self, past: Sequence[MetricSample], metric: Metric, value: str | None) -> float:
        grown = _increase(past, metric, self.window)
        return sum(increase for labels, increase in grown.items() if value is None or labels == (value,))

    def promql(self) -> str:
        part, whole = (self._promql(*which) for which in (self.part, self.whole))
        return f"({part} / ({whole} > 0)) and {part} >= {self.at_least:g}"

    def _promql(self, metric: Metric, value: str | None) -> str:
        chosen = f'{{{metric.labels[0]}="{value}"}}' if value is not None else ""
        return f"sum(increase({metric.name}{chosen}[{duration(self.window)}]))"


@dataclass(frozen=True)
class Quantile:
    """A quantile of what a histogram has counted in a window, over all labels; linear inside a bucket, as Prometheus
    has it, and the highest bound where it lies beyond.
    """

    metric: Metric
    quantile: float
    window: timedelta
    labels: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (self.metric,)

    def values(self, past: Sequence[MetricSample]) -> dict[Labels, float]:
        first, last = _window(past, self.window)
        before, now = first.distributions_of(self.metric), last.distributions_of(self.metric)
        counts = [0] * (len(self.metric.buckets) + 1)
        for labels, one in now.items():
            earlier = before[labels].counts if labels in before else [0] * len(counts)
            for i, (count, had) in enumerate(zip(one.counts, earlier, strict=True)):
                counts[i] += count - had
        return {(): self._of(counts)} if sum(counts) > 0 else {}

    def _of(self, counts: list[int]) -> float:
        rank, below = self.quantile * sum(counts), 0
        bounds = self.metric.buckets
        for i, bound in enumerate(bounds):
            if below + counts[i] >= rank:
                low = bounds[i - 1] if i else 0.0
                return low + (bound - low) * (rank - below) / counts[i] if counts[i] else low
            below += counts[i]
        return bounds[-1]

    def promql(self) -> str:
        inner = f"sum by (le) (increase({self.metric.name}_bucket[{duration(self.window)}]))"
        return f"histogram_quantile({self.quantile:g}, {inner})"


def duration(time: timedelta) -> str:
    """As Prometheus writes it: `90s`, `15m`, `2h`."""
    seconds = round(time.total_seconds())
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _window(past: Sequence[MetricSample], window: timedelta) -> tuple[MetricSample, MetricSample]:
    last = past[-1]
    return next(sample for sample in past if last.at - sample.at <= window), last


def _increase(past: Sequence[MetricSample], metric: Metric, window: timedelta) -> dict[Labels, float]:
    last = past[-1]
    inside = [sample.of(metric) for sample in past if last.at - sample.at <= window]
    grown: defaultdict[Labels, float] = defaultdict(float)
    for labels in last.of(metric):
        before: float | None = None
        for found in inside:
            value = found.get(labels)
            if value is not None and before is not None:
                grown[labels] += value - before if value >= before else value
            before = value if value is not None else before
        grown.setdefault(labels, 0.0)
    return dict(grown)

"""Test cases for every rule: series of values every 15 seconds and the expected alerts.

The monitor's rule evaluation and Prometheus must both pass them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from weatherglass.alerts import metrics as m
from weatherglass.alerts.conditions import Latest
from weatherglass.alerts.metrics import Metric
from weatherglass.alerts.rules import EVALUATION_SECONDS, RULES, RULES_BY_NAME
from weatherglass.alerts.sample import BucketCounts, MetricSample

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
STEP = timedelta(seconds=EVALUATION_SECONDS)
Values = list[float | None]


@dataclass
class Case:
    """A test case of a rule.

    Attributes:
        series: one value per step by metric and label values; for a histogram also by bucket, with the bucket's bound
            as the last label.
        expected: the subjects for which the rule is firing, by step.
    """

    rule: str
    name: str
    series: dict[tuple[Metric, tuple[str, ...]], Values]
    expected: dict[int, set[str]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return max(len(values) for values in self.series.values())

    def samples(self) -> Iterator[MetricSample]:
        for step in range(self.steps):
            sample = MetricSample(NOON + step * STEP)
            for (metric, labels), values in self.series.items():
                value = values[step] if step < len(values) else None
                if value is None:
                    continue
                if metric.buckets:
                    counts = sample.buckets.setdefault(metric.name, {}).setdefault(
                        labels[:-1], BucketCounts([0] * (len(metric.buckets) + 1))
                    )
                    counts.counts[[*(f"{b:g}" for b in metric.buckets), "+Inf"].index(labels[-1])] = int(value)
                else:
                    sample.put(metric, value, *labels)
            yield sample


LEVELS: dict[str, tuple[float, float, float]] = {
    "source_not_answering": (0.8, 2.5, 5.0),
    "no_new_observations": (0.3, 1.3, 1.8),
    "station_silent": (0.9, 2.0, 3.2),
    "station_late": (0.0, 1.5, 3.0),
    "station_frozen": (0, 0, 1),
    "budget_nearly_spent": (0.6, 0.85, 0.95),
    "clock_skew": (0.2, 20, 45),
    "broker_unreachable": (1, 1, 0),
    "consumer_behind": (0, 40, 75),
    "batches_too_slow": (0.5, 1.2, 2.0),
    "job_host_down": (1, 1, 0),
    "job_not_running": (1, 1, 0),
    "job_silent": (2, 20, 40),
    "ray_unreachable": (1, 1, 0),
    "actor_lost": (1, 1, 0),
    "airflow_unhealthy": (1, 1, 0),
    "models_on_fallback": (0.0, 0.4, 0.7),
    "model_degraded": (0, 0, 1),
    "model_too_old": (86400, 29.5 * 86400, 31 * 86400),
    "guidance_missing": (3600, 15 * 3600, 19 * 3600),
    "verification_stopped": (1800, 9000, 12000),
    "verification_without_truth": (0, 5 * 3600, 7 * 3600),
    "dag_failed": (0, 0, 1),
    "store_unreachable": (1, 1, 0),
    "disk_nearly_full": (0.4, 0.06, 0.03),
}
"""For each rule on a gauge: a normal value, one between the thresholds (normal if they are equal), a bad one."""


def steps(time: timedelta) -> int:
    return round(time / STEP)


def level_cases() -> Iterator[Case]:
    """Bad too briefly; bad long enough; between the thresholds; normal too briefly; normal; no value any more."""
    for name, (normal, between, bad) in LEVELS.items():
        rule = RULES_BY_NAME[name]
        assert isinstance(rule.condition, Latest)
        metric, for_, keep_firing_for = rule.condition.metric, steps(rule.for_), steps(rule.keep_firing_for)
        here, there = (tuple(f"{place}-{label}" for label in metric.labels) for place in ("here", "there"))
        subject = " ".join(here) or "pipeline"
        values: Values = [normal, normal]
        expected: dict[int, set[str]] = {1: set()}

        def then(value: float | None, count: int, firing: bool) -> None:
            """Append so many steps; `firing` is the expected state at the last of them."""
            values.extend([value] * count)  # noqa: B023
            if count:
                expected[len(values) - 1] = {subject} if firing else set()  # noqa: B023

        then(bad, for_, False)
        then(normal, 1, False)
        then(bad, for_ + 1, True)
        then(bad, 3, True)
        if not (rule.fires(between) or rule.clears(between)):
            then(between, 8, True)
        then(normal, keep_firing_for, True)
        then(bad, 1, True)
        then(normal, keep_firing_for + 1, False)
        then(bad, for_ + 1, True)
        then(None, keep_firing_for, True)
        then(None, 2, False)
        series = {(metric, here): values}
        if there != here:
            series[metric, there] = [normal] * len(values)
        yield Case(name, "level", series, expected)


def _counter(increases: Iterable[float]) -> Values:
    return list(accumulate(increases, initial=1000))


def counter_cases() -> Iterator[Case]:
    job = (m.JOB_STARTS, ("stream_features",))
    yield Case(
        "job_restarting",
        "two starts do not fire, five do, and it is resolved after the window",
        {job: [0.0] * 4 + [1.0] * 20 + [2.0] * 80 + [float(n) for n in (3, 4, 5, 6) for _ in range(6)] + [6.0] * 80},
        {40: set(), 100: set(), 126: {"stream_features"}, 207: set()},
    )
    rejected, raw = (m.TOPIC_RECORDS, ("weather-rejected",)), (m.TOPIC_RECORDS, ("weather-raw",))
    other = (m.TOPIC_RECORDS, ("weather-features",))
    yield Case(
        "many_rejected",
        "20 percent rejected",
        {
            rejected: _counter([0] * 20 + [4] * 40 + [0] * 140),
            raw: _counter([20] * 200),
            other: _counter([2000] * 200),
        },
        {19: set(), 50: {"pipeline"}, 62: {"pipeline"}, 190: set()},
    )
    yield Case(
        "many_rejected",
        "one of three, below the minimum count",
        {rejected: _counter([0] * 20 + [1] + [0] * 60), raw: _counter([0] * 20 + [3] + [0] * 60)},
        {22: set(), 60: set()},
    )
    ok, error = (m.API_REQUESTS, ("ok",)), (m.API_REQUESTS, ("error",))
    yield Case(
        "api_errors",
        "50 percent errors",
        {ok: _counter([10] * 100), error: _counter([0] * 20 + [10] * 20 + [0] * 60)},
        {19: set(), 30: {"pipeline"}, 80: set()},
    )
    yield Case(
        "api_errors",
        "one percent errors",
        {ok: _counter([99] * 60), error: _counter([1] * 60)},
        {30: set(), 59: set()},
    )


def quantile_cases() -> Iterator[Case]:
    """Ten forecasts per step with a latency of 0.7 s, then 90 s, then 0.7 s again."""
    fast, slow = [10] * 100, [10] * 30
    total = _counter([*fast, *slow, *fast])
    fast_total = _counter([*fast, *([0] * 30), *fast])
    series: dict[tuple[Metric, tuple[str, ...]], Values] = {}
    for bound in (*(f"{b:g}" for b in m.PUBLISHING_TO_PREDICTION.buckets), "+Inf"):
        seconds = float(bound.replace("+Inf", "inf"))
        values = total if seconds >= 120 else fast_total if seconds >= 1 else [0.0] * len(total)
        series[m.PUBLISHING_TO_PREDICTION, ("here", bound)] = values
    yield Case("forecasts_slow", "latency of 90 s during 30 steps", series, {99: set(), 115: {"pipeline"}, 225: set()})


CASES = [*level_cases(), *counter_cases(), *quantile_cases()]
assert {case.rule for case in CASES} == {rule.name for rule in RULES}, "a rule without a case"

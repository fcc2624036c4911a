"""What every rule must do, as series of values every 15 seconds. Both the watcher and Prometheus are held to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from weatherglass.alerts import metrics as m
from weatherglass.alerts.conditions import Latest
from weatherglass.alerts.metrics import Metric
from weatherglass.alerts.rules import BY_NAME, LOOK_SECONDS, RULES
from weatherglass.alerts.sample import Distribution, MetricSample

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
STEP = timedelta(seconds=LOOK_SECONDS)
Values = list[float | None]


@dataclass
class Case:
    """`series` by metric and label values, a histogram's by bucket with its bound as the last label; a value a step.
    `expected`: the subjects of the rule that are firing at a step.
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
                    counts = sample.distributions.setdefault(metric.name, {}).setdefault(
                        labels[:-1], Distribution([0] * (len(metric.buckets) + 1))
                    )
                    counts.counts[[*(f"{b:g}" for b in metric.buckets), "+Inf"].index(labels[-1])] = int(value)
                else:
                    sample.put(metric, value, *labels)
            yield sample


LEVELS: dict[str, tuple[float, float, float]] = {
    "source_not_answering": (0.8, 2.5, 5.0),
    "no_new_observations": (300, 1200, 1600),
    "station_silent": (0.9, 2.0, 3.2),
    "station_late": (0.0, 1.5, 3.0),
    "station_frozen": (0, 0, 1),
    "budget_nearly_spent": (0.6, 0.85, 0.95),
    "clock_skew": (0.2, 20, 45),
    "broker_unreachable": (1, 1, 0),
    "consumer_behind": (0, 40, 75),
    "watermark_stuck": (900, 6000, 8000),
    "batches_too_slow": (0.5, 1.2, 2.0),
    "job_host_down": (1, 1, 0),
    "job_not_running": (1, 1, 0),
    "job_silent": (2, 20, 40),
    "ray_unreachable": (1, 1, 0),
    "actor_lost": (1, 1, 0),
    "airflow_unwell": (1, 1, 0),
    "models_on_fallback": (0.0, 0.4, 0.7),
    "model_degraded": (0, 0, 1),
    "model_too_old": (86400, 29.5 * 86400, 31 * 86400),
    "verification_stopped": (1800, 9000, 12000),
    "verification_without_truth": (0, 5 * 3600, 7 * 3600),
    "dag_failed": (0, 0, 1),
    "store_unreachable": (1, 1, 0),
    "disk_nearly_full": (0.4, 0.06, 0.03),
}
"""Of each rule on a gauge: a fine value, one between the two limits (or fine, where they are one), a bad one."""


def steps(time: timedelta) -> int:
    return round(time / STEP)


def level_cases() -> Iterator[Case]:
    """Bad for too short a time; bad long enough; between; well for too short; well; and nothing measured any more."""
    for name, (fine, between, bad) in LEVELS.items():
        rule = BY_NAME[name]
        assert isinstance(rule.condition, Latest)
        metric, lasting, well_for = rule.condition.metric, steps(rule.lasting), steps(rule.well_for)
        here, there = (tuple(f"{place}-{label}" for label in metric.labels) for place in ("here", "there"))
        subject = " ".join(here) or "pipeline"
        values: Values = [fine, fine]
        expected: dict[int, set[str]] = {1: set()}

        def then(value: float | None, count: int, firing: bool) -> None:
            """Go on for so many steps; at the last of them it fires, or not."""
            values.extend([value] * count)  # noqa: B023
            if count:
                expected[len(values) - 1] = {subject} if firing else set()  # noqa: B023

        then(bad, lasting, False)
        then(fine, 1, False)
        then(bad, lasting + 1, True)
        then(bad, 3, True)
        if not (rule.fires(between) or rule.well(between)):
            then(between, 8, True)
        then(fine, well_for, True)
        then(bad, 1, True)
        then(fine, well_for + 1, False)
        then(bad, lasting + 1, True)
        then(None, well_for, True)
        then(None, 2, False)
        series = {(metric, here): values}
        if there != here:
            series[metric, there] = [fine] * len(values)
        yield Case(name, "level", series, expected)


def _counted(increases: Iterable[float]) -> Values:
    return list(accumulate(increases, initial=1000))


def counter_cases() -> Iterator[Case]:
    job = (m.JOB_STARTS, ("stream_features",))
    yield Case(
        "job_restarting",
        "two starts are no alarm, five are, and it ends when they are long past",
        {job: [0.0] * 4 + [1.0] * 20 + [2.0] * 80 + [float(n) for n in (3, 4, 5, 6) for _ in range(6)] + [6.0] * 80},
        {40: set(), 100: set(), 126: {"stream_features"}, 207: set()},
    )
    rejected, raw = (m.TOPIC_RECORDS, ("weather-rejected",)), (m.TOPIC_RECORDS, ("weather-raw",))
    other = (m.TOPIC_RECORDS, ("weather-features",))
    yield Case(
        "many_rejected",
        "one in five",
        {
            rejected: _counted([0] * 20 + [4] * 40 + [0] * 140),
            raw: _counted([20] * 200),
            other: _counted([2000] * 200),
        },
        {19: set(), 50: {"pipeline"}, 62: {"pipeline"}, 190: set()},
    )
    yield Case(
        "many_rejected",
        "one of three is no alarm",
        {rejected: _counted([0] * 20 + [1] + [0] * 60), raw: _counted([0] * 20 + [3] + [0] * 60)},
        {22: set(), 60: set()},
    )
    ok, error = (m.API_REQUESTS, ("ok",)), (m.API_REQUESTS, ("error",))
    yield Case(
        "api_errors",
        "half of the answers",
        {ok: _counted([10] * 100), error: _counted([0] * 20 + [10] * 20 + [0] * 60)},
        {19: set(), 30: {"pipeline"}, 80: set()},
    )
    yield Case(
        "api_errors",
        "one in a hundred is no alarm",
        {ok: _counted([99] * 60), error: _counted([1] * 60)},
        {30: set(), 59: set()},
    )


def quantile_cases() -> Iterator[Case]:
    """A forecast a step and station; they take 0.7 s, then 90 s, then 0.7 s again."""
    quick, slow = [10] * 100, [10] * 30
    total = _counted([*quick, *slow, *quick])
    at_once = _counted([*quick, *([0] * 30), *quick])
    series: dict[tuple[Metric, tuple[str, ...]], Values] = {}
    for bound in (*(f"{b:g}" for b in m.FROM_PUBLISHING.buckets), "+Inf"):
        seconds = float(bound.replace("+Inf", "inf"))
        values = total if seconds >= 120 else at_once if seconds >= 1 else [0.0] * len(total)
        series[m.FROM_PUBLISHING, ("here", bound)] = values
    yield Case(
        "forecasts_slow", "thirty forecasts of ninety seconds", series, {99: set(), 115: {"pipeline"}, 225: set()}
    )


CASES = [*level_cases(), *counter_cases(), *quantile_cases()]
assert {case.rule for case in CASES} == {rule.name for rule in RULES}, "a rule without a case"

"""Evaluates alert rules over time: which alerts start, are firing and are resolved. Pure: samples carry the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from weatherglass.alerts.rules import Rule
from weatherglass.alerts.sample import MetricSample

AlertKey = tuple[str, str]
"""Rule name and subject."""


@dataclass
class FiringAlert:
    """An alert that is firing.

    Attributes:
        since: when the value first crossed the threshold.
        value: the last value measured.
        clear_since: since when the value has been back within the clear threshold, or missing; None if it is not.
    """

    rule: Rule
    subject: str
    since: datetime
    value: float
    clear_since: datetime | None = None


@dataclass(frozen=True)
class Evaluation:
    """Result of evaluating a sample. `firing` contains `started` and excludes `resolved`."""

    started: list[FiringAlert]
    firing: list[FiringAlert]
    resolved: list[FiringAlert]


class RuleEvaluator:
    """Evaluates all rules and keeps their state between samples.

    Args:
        open_alerts: alerts that were firing when the previous monitor ended. They are not started again, and are
            resolved like any other.
    """

    def __init__(self, rules: Sequence[Rule], open_alerts: Iterable[FiringAlert] = ()):
        self.rules = rules
        self._firing: dict[AlertKey, FiringAlert] = {(alert.rule.name, alert.subject): alert for alert in open_alerts}
        self._pending: dict[AlertKey, datetime] = {}
        """When the value crossed the threshold, for alerts that have not yet lasted for `Rule.for_`."""
        self._samples: deque[MetricSample] = deque()
        self._longest_window = max((rule.condition.window for rule in rules), default=timedelta())
        self._metrics_with_window = {
            metric.name for rule in rules if rule.condition.window for metric in rule.condition.metrics
        }

    def evaluate(self, sample: MetricSample) -> Evaluation:
        """Evaluate the rules with a sample newer than all before."""
        samples = [*self._samples, sample]
        started, resolved = [], []
        for rule in self.rules:
            values = {subject_of(labels): value for labels, value in rule.condition.values(samples).items()}
            started += self._start(rule, values, sample.at)
            resolved += self._resolve(rule, values, sample.at)
        self._samples.append(sample.subset(self._metrics_with_window))
        while sample.at - self._samples[0].at > self._longest_window:
            self._samples.popleft()
        return Evaluation(started, list(self._firing.values()), resolved)

    def _start(self, rule: Rule, values: dict[str, float], now: datetime) -> list[FiringAlert]:
        crossed = {subject for subject, value in values.items() if rule.fires(value)}
        for key in [key for key in self._pending if key[0] == rule.name and key[1] not in crossed]:
            del self._pending[key]
        started = []
        for subject in sorted(crossed):
            key = (rule.name, subject)
            if key in self._firing:
                continue
            since = self._pending.setdefault(key, now)
            if now - since >= rule.for_:
                del self._pending[key]
                started.append(FiringAlert(rule, subject, since, values[subject]))
                self._firing[key] = started[-1]
        return started

    def _resolve(self, rule: Rule, values: dict[str, float], now: datetime) -> list[FiringAlert]:
        resolved = []
        for key, alert in [(key, alert) for key, alert in self._firing.items() if key[0] == rule.name]:
            value = values.get(alert.subject)
            if value is not None and not rule.clears(value):
                alert.value, alert.clear_since = value, None
                continue
            alert.clear_since = alert.clear_since or now
            if now - alert.clear_since >= rule.keep_firing_for:
                resolved.append(self._firing.pop(key))
        return resolved


def subject_of(labels: tuple[str, ...]) -> str:
    """The subject of an alert: the values of its labels, or `pipeline` if it has none."""
    return " ".join(labels) or "pipeline"


def is_inhibited(alert: FiringAlert, firing: Iterable[FiringAlert]) -> bool:
    """Whether another firing alert inhibits this one.

    If both are about the same kind of subject (stations, jobs), only an alert with the same subject inhibits.
    """
    return any(
        other.rule.name in alert.rule.inhibited_by
        and (other.subject == alert.subject or other.rule.condition.labels != alert.rule.condition.labels)
        for other in firing
    )

"""Whether rules fire: told once when they begin to, once when it is over. Pure: time comes with the samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from weatherglass.alerts.rules import Rule
from weatherglass.alerts.sample import MetricSample

Key = tuple[str, str]
"""Rule and subject."""


@dataclass
class Firing:
    """An alert that is on. `since`: when its value was first beyond the limit. `value`: the last one measured."""

    rule: Rule
    subject: str
    since: datetime
    value: float
    well_since: datetime | None = None


@dataclass(frozen=True)
class Evaluation:
    """What came of a sample: alerts that began, that are on (those included), and that are over."""

    begun: list[Firing]
    on: list[Firing]
    over: list[Firing]


class RuleEvaluator:
    """All rules over time.

    Args:
        known: alerts that were on before, so that a new watcher neither tells them again nor forgets them.
    """

    def __init__(self, rules: Sequence[Rule], known: Iterable[Firing] = ()):
        self.rules = rules
        self.on: dict[Key, Firing] = {(firing.rule.name, firing.subject): firing for firing in known}
        self._waiting: dict[Key, datetime] = {}
        self._past: deque[MetricSample] = deque()
        self._longest = max((rule.condition.window for rule in rules), default=timedelta())
        self._needed = {m.name for rule in rules if rule.condition.window for m in rule.condition.metrics}

    def look(self, sample: MetricSample) -> Evaluation:
        """Take a newer sample into account."""
        past = [*self._past, sample]
        begun, over = [], []
        for rule in self.rules:
            found = {subject_of(labels): value for labels, value in rule.condition.values(past).items()}
            begun += self._begin(rule, found, sample.at)
            over += self._end(rule, found, sample.at)
        self._past.append(sample.only(self._needed))
        while sample.at - self._past[0].at > self._longest:
            self._past.popleft()
        return Evaluation(begun, list(self.on.values()), over)

    def _begin(self, rule: Rule, found: dict[str, float], now: datetime) -> list[Firing]:
        beyond = {subject for subject, value in found.items() if rule.fires(value)}
        for key in [key for key in self._waiting if key[0] == rule.name and key[1] not in beyond]:
            del self._waiting[key]
        begun = []
        for subject in sorted(beyond):
            key = (rule.name, subject)
            if key in self.on:
                continue
            since = self._waiting.setdefault(key, now)
            if now - since >= rule.lasting:
                del self._waiting[key]
                begun.append(Firing(rule, subject, since, found[subject]))
                self.on[key] = begun[-1]
        return begun

    def _end(self, rule: Rule, found: dict[str, float], now: datetime) -> list[Firing]:
        over = []
        for key, firing in [(key, firing) for key, firing in self.on.items() if key[0] == rule.name]:
            value = found.get(firing.subject)
            if value is not None and not rule.well(value):
                firing.value, firing.well_since = value, None
                continue
            firing.well_since = firing.well_since or now
            if now - firing.well_since >= rule.well_for:
                over.append(self.on.pop(key))
        return over


def subject_of(labels: tuple[str, ...]) -> str:
    """What an alert is about, in a word: the values of the labels, or the pipeline as a whole."""
    return " ".join(labels) or "pipeline"


def explained(firing: Firing, on: Iterable[Firing]) -> bool:
    """Whether another alert that is on is the reason of this one; where both are about a station or a job, the same."""
    return any(
        other.rule.name in firing.rule.because_of
        and (other.subject == firing.subject or other.rule.condition.labels != firing.rule.condition.labels)
        for other in on
    )

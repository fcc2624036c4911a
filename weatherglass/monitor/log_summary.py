"""The pipeline's health as a running story: what began, what is over, and now and then how everything is."""

from __future__ import annotations

from datetime import datetime, timedelta

from weatherglass.alerts import metrics as m
from weatherglass.alerts.metrics import Metric
from weatherglass.alerts.rule_evaluator import Evaluation, Firing
from weatherglass.alerts.sample import MetricSample
from weatherglass.formatting import counted, words

SUMMARY_EVERY = timedelta(minutes=1)


class LogSummary:
    def __init__(self) -> None:
        self._summed_up: datetime | None = None

    def tell(self, look: Evaluation, sample: MetricSample, problems: list[str]) -> list[str]:
        """Lines for the task log."""
        lines = [f"ALERT {_about(firing)}" for firing in look.begun]
        lines += [f"over after {words(sample.at - firing.since)}: {_named(firing)}" for firing in look.over]
        lines += problems
        if self._summed_up is None or sample.at - self._summed_up >= SUMMARY_EVERY or lines:
            self._summed_up = sample.at
            lines.append(_summary(look, sample))
        return lines


def _named(firing: Firing) -> str:
    return f"{firing.rule.name.replace('_', ' ')} ({firing.subject})"


def _about(firing: Firing) -> str:
    return f"{_named(firing)}, {firing.rule.severity.value}: {firing.rule.said(firing.subject, firing.value)}"


def _summary(look: Evaluation, sample: MetricSample) -> str:
    state = "all is well"
    if look.on:
        longest = min(firing.since for firing in look.on)
        names = ", ".join(sorted(_named(firing) for firing in look.on)[:5]) + (", …" if len(look.on) > 5 else "")
        state = f"{counted(len(look.on), 'alert')} open, the oldest for {words(sample.at - longest)}: {names}"
    return "; ".join([state, *_figures(sample)])


def _figures(sample: MetricSample) -> list[str]:
    said = []
    stations = sample.of(m.SILENCE)
    if stations:
        heard = sum(ratio <= 1.5 for ratio in stations.values())
        said.append(f"{heard} of {len(stations)} stations heard as usual")
    for metric, name in ((m.OBSERVATION_AGE, "last observation"), (m.PREDICTION_AGE, "last forecast")):
        if (age := sample.get(metric)) is not None:
            said.append(f"{name} {words(timedelta(seconds=age))} ago")
    waiting = sum(sample.of(m.LAG).values())
    if sample.get(m.KAFKA_UP):
        said.append(f"{waiting:.0f} records waiting")
    if memory := _total(sample, m.PART_MEMORY):
        said.append(f"{memory / 1e9:.1f} GB in use")
    if (free := sample.get(m.DISK_FREE)) is not None:
        said.append(f"disk {free:.0%} free")
    return said


def _total(sample: MetricSample, metric: Metric) -> float:
    return sum(sample.of(metric).values())

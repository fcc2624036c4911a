"""Log lines of the monitor: alerts that started or were resolved, and a periodic summary of the pipeline."""

from __future__ import annotations

from datetime import datetime, timedelta

from weatherglass.alerts import metrics as m
from weatherglass.alerts.rule_evaluator import Evaluation, FiringAlert
from weatherglass.alerts.sample import MetricSample
from weatherglass.formatting import count_noun, format_duration

SUMMARY_INTERVAL = timedelta(minutes=1)


class LogSummary:
    def __init__(self) -> None:
        self._last_summary: datetime | None = None

    def lines(self, evaluation: Evaluation, sample: MetricSample, errors: list[str]) -> list[str]:
        """Lines for the task log; `errors` are added unchanged."""
        lines = [f"ALERT {_describe(alert)}" for alert in evaluation.started]
        lines += [
            f"RESOLVED after {format_duration(sample.at - alert.since)}: {_name(alert)}"
            for alert in evaluation.resolved
        ]
        lines += errors
        if self._last_summary is None or sample.at - self._last_summary >= SUMMARY_INTERVAL or lines:
            self._last_summary = sample.at
            lines.append(_summary(evaluation, sample))
        return lines


def _name(alert: FiringAlert) -> str:
    return f"{alert.rule.name.replace('_', ' ')} ({alert.subject})"


def _describe(alert: FiringAlert) -> str:
    return f"{_name(alert)}, {alert.rule.severity.value}: {alert.rule.summary_for(alert.subject, alert.value)}"


def _summary(evaluation: Evaluation, sample: MetricSample) -> str:
    state = "No alerts"
    if evaluation.firing:
        oldest = min(alert.since for alert in evaluation.firing)
        names = sorted(_name(alert) for alert in evaluation.firing)
        listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        state = f"{count_noun(len(names), 'alert')} open, oldest for {format_duration(sample.at - oldest)}: {listed}"
    return "; ".join([state, *_figures(sample)])


def _figures(sample: MetricSample) -> list[str]:
    figures = []
    silence = sample.series(m.STATION_SILENCE)
    if silence:
        reporting = sum(ratio <= 1.5 for ratio in silence.values())
        figures.append(f"{reporting} of {len(silence)} stations reporting")
    for metric, label in ((m.OBSERVATION_AGE, "last observation"), (m.PREDICTION_AGE, "last forecast")):
        if (age := sample.get(metric)) is not None:
            figures.append(f"{label} {format_duration(timedelta(seconds=age))} ago")
    if sample.get(m.KAFKA_UP):
        figures.append(f"consumer lag {sum(sample.series(m.LAG_RECORDS).values()):.0f} records")
    if memory := sum(sample.series(m.PART_MEMORY).values()):
        figures.append(f"{memory / 1e9:.1f} GB memory")
    if (free := sample.get(m.DISK_FREE)) is not None:
        figures.append(f"{free:.0%} of the disk free")
    return figures

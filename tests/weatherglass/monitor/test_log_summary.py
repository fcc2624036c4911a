"""Lines of the monitor in the task log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from weatherglass.alerts import metrics as m
from weatherglass.alerts.rule_evaluator import Evaluation, FiringAlert
from weatherglass.alerts.rules import RULES_BY_NAME
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor.log_summary import SUMMARY_INTERVAL, LogSummary

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
NOTHING = Evaluation([], [], [])
ALERT = FiringAlert(RULES_BY_NAME["job_not_running"], "stream_features", NOON, 0.0)


def sample(seconds: float = 0) -> MetricSample:
    return MetricSample(NOON + timedelta(seconds=seconds))


def test_without_alerts_there_is_one_summary_per_interval() -> None:
    summary = LogSummary()
    counts = [len(summary.lines(NOTHING, sample(15 * step), [])) for step in range(9)]
    assert timedelta(minutes=1) == SUMMARY_INTERVAL
    assert counts == [1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_an_alert_has_a_line_when_it_starts_and_when_it_is_resolved_followed_by_a_summary() -> None:
    summary = LogSummary()
    summary.lines(NOTHING, sample(), [])
    started, open_alerts = summary.lines(Evaluation([ALERT], [ALERT], []), sample(15), [])
    assert started.startswith("ALERT job not running (stream_features), critical: ")
    assert "1 alert" in open_alerts
    resolved, _ = summary.lines(Evaluation([], [], [ALERT]), sample(90), [])
    assert resolved.startswith("RESOLVED after 90 s: job not running (stream_features)")


def test_errors_of_channels_are_logged_unchanged() -> None:
    assert LogSummary().lines(NOTHING, sample(), ["webhook failed"])[0] == "webhook failed"


def test_the_summary_contains_the_measured_figures() -> None:
    measured = sample()
    measured.put(m.STATION_SILENCE, 1.0, "a")
    measured.put(m.STATION_SILENCE, 2.0, "b")
    measured.put(m.KAFKA_UP, 1)
    measured.put(m.LAG_RECORDS, 3, "group", "topic", "0")
    measured.put(m.LAG_RECORDS, 4, "group", "topic", "1")
    measured.put(m.PART_MEMORY, 1.5e9, "kafka")
    measured.put(m.PART_MEMORY, 1.0e9, "ray")
    measured.put(m.DISK_FREE, 0.42)
    (line,) = LogSummary().lines(NOTHING, measured, [])
    assert all(figure in line for figure in ("1 of 2 stations", " 7 records", "2.5 GB", "42%"))

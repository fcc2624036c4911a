"""Lines of the monitor in the task log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

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


@pytest.mark.parametrize(("count", "listed"), [(5, "a b c d e"), (6, "a b c d e …")])
def test_the_summary_lists_five_open_alerts_and_the_age_of_the_oldest(count: int, listed: str) -> None:
    rule = RULES_BY_NAME["station_silent"]
    firing = [FiringAlert(rule, name, NOON + timedelta(minutes=i), 4.0) for i, name in enumerate("abcdef"[:count])]
    (line,) = LogSummary().lines(Evaluation([], firing[::-1], []), sample(600), [])
    head, names = line.split(": ")
    assert names.replace("station silent ", "").replace("(", "").replace(")", "").replace(",", "") == listed
    assert {str(count), "10", "min"} <= set(head.split())


def test_a_station_reports_up_to_one_and_a_half_of_its_intervals() -> None:
    measured = sample()
    for name, ratio in {"a": 1.5, "b": 1.51, "c": 0.0}.items():
        measured.put(m.STATION_SILENCE, ratio, name)
    measured.put(m.OBSERVATION_AGE, 90)
    measured.put(m.PREDICTION_AGE, 7200)
    measured.put(m.KAFKA_UP, 0)
    measured.put(m.LAG_RECORDS, 3, "group", "topic", "0")
    (line,) = LogSummary().lines(NOTHING, measured, [])
    figures = line.split("; ")[1:]
    assert [figure.split()[:3] for figure in figures] == [
        ["2", "of", "3"],
        ["last", "observation", "90"],
        ["last", "forecast", "2"],
    ]


def test_an_event_postpones_the_next_periodic_summary() -> None:
    summary = LogSummary()
    times = [(0, []), (50, ["error"]), (60, []), (109, []), (110, [])]
    assert [len(summary.lines(NOTHING, sample(at), errors)) for at, errors in times] == [1, 2, 0, 0, 1]

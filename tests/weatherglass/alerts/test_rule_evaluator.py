from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.weatherglass.alerts.cases import CASES, NOON, STEP, Case
from weatherglass.alerts import metrics as m
from weatherglass.alerts.conditions import Latest, Quantile
from weatherglass.alerts.metrics import METRICS
from weatherglass.alerts.notification import Links, to_alert
from weatherglass.alerts.rule_evaluator import FiringAlert, RuleEvaluator, is_inhibited
from weatherglass.alerts.rules import DURATION, RULES, RULES_BY_NAME
from weatherglass.alerts.sample import MetricSample


def cumulative_to_single(sample: MetricSample) -> MetricSample:
    """Test cases contain cumulative bucket counts, like Prometheus; samples contain counts per bucket."""
    for histograms in sample.buckets.values():
        for buckets in histograms.values():
            buckets.counts = [c - (buckets.counts[i - 1] if i else 0) for i, c in enumerate(buckets.counts)]
    return sample


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.name}")
def test_a_rule_starts_and_resolves_alerts_as_expected(case: Case) -> None:
    evaluator = RuleEvaluator([RULES_BY_NAME[case.rule]])
    firing: list[set[str]] = []
    started: list[str] = []
    resolved: list[str] = []
    for sample in case.samples():
        evaluation = evaluator.evaluate(cumulative_to_single(sample))
        firing.append({alert.subject for alert in evaluation.firing})
        started += [alert.subject for alert in evaluation.started]
        resolved += [alert.subject for alert in evaluation.resolved]
        # Exactly the alerts that were started and not resolved are firing.
        assert sorted(started) == sorted([*resolved, *firing[-1]])
    assert {step: firing[step] for step in case.expected} == case.expected


def test_since_is_the_time_the_value_crossed_the_threshold() -> None:
    rule = RULES_BY_NAME["job_not_running"]
    evaluator = RuleEvaluator([rule])
    started = []
    for step in range(10):
        sample = MetricSample(NOON + step * STEP)
        sample.put(m.JOB_UP, 0 if step >= 2 else 1, "stream_features")
        started += evaluator.evaluate(sample).started
    (alert,) = started
    assert alert.since == NOON + 2 * STEP


@pytest.mark.parametrize("rules", [("job_not_running",), ("job_silent", "job_not_running", "job_host_down")])
def test_a_value_that_recovers_before_the_alert_starts_is_counted_from_its_next_failure(rules: tuple[str, ...]) -> None:
    """One job is down from step 4 on, and in step 2; the other from step 3 on. Other rules have no effect on that."""
    evaluator = RuleEvaluator([RULES_BY_NAME[name] for name in rules])
    started: dict[str, tuple[int, FiringAlert]] = {}
    for step in range(9):
        sample = MetricSample(NOON + step * STEP)
        sample.put(m.JOB_UP, 0 if step == 2 or step >= 4 else 1, "stream_features")
        sample.put(m.JOB_UP, 0 if step >= 3 else 1, "serve_predictions")
        for alert in evaluator.evaluate(sample).started:
            started[alert.subject] = step, alert
    steps = RULES_BY_NAME["job_not_running"].for_ // STEP
    assert {subject: step for subject, (step, _) in started.items()} == {
        "stream_features": 4 + steps,
        "serve_predictions": 3 + steps,
    }
    assert {subject: alert.since for subject, (_, alert) in started.items()} == {
        "stream_features": NOON + 4 * STEP,
        "serve_predictions": NOON + 3 * STEP,
    }


def test_an_alert_open_at_the_start_is_not_started_again_and_is_resolved() -> None:
    rule = RULES_BY_NAME["job_not_running"]
    evaluator = RuleEvaluator([rule], [FiringAlert(rule, "stream_features", NOON - timedelta(hours=1), 0.0)])
    down = MetricSample(NOON)
    down.put(m.JOB_UP, 0, "stream_features")
    assert evaluator.evaluate(down).started == []
    resolved = []
    for step in range(1, 10):
        up = MetricSample(NOON + step * STEP)
        up.put(m.JOB_UP, 1, "stream_features")
        evaluation = evaluator.evaluate(up)
        assert evaluation.started == []
        resolved += evaluation.resolved
    assert [alert.subject for alert in resolved] == ["stream_features"]


def firing_alert(rule: str, subject: str) -> FiringAlert:
    return FiringAlert(RULES_BY_NAME[rule], subject, NOON, 1.0)


def test_an_alert_about_a_station_is_inhibited_by_alerts_about_the_same_station_only() -> None:
    assert is_inhibited(firing_alert("consumer_behind", "a b"), [firing_alert("broker_unreachable", "pipeline")])
    late = firing_alert("station_late", "denver")
    assert is_inhibited(late, [late, firing_alert("station_silent", "denver")])
    assert not is_inhibited(late, [late, firing_alert("station_silent", "boston")])
    assert not is_inhibited(late, [late])


def test_inhibition_has_no_cycles() -> None:
    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " inhibited by ".join((*path, name))
        for source in RULES_BY_NAME[name].inhibited_by:
            visit(source, (*path, name))

    for rule in RULES:
        visit(rule.name, ())


def test_every_rule_has_complete_texts_and_consistent_thresholds() -> None:
    assert len(RULES_BY_NAME) == len(RULES)
    for rule in RULES:
        summary = rule.summary_for("denver", 1.0)
        assert "{" not in summary
        texts = (summary, rule.impact, rule.unaffected, rule.runbook)
        assert all(len(text) > 5 and text.endswith((".", ")", "?")) for text in texts)
        assert rule.fires(rule.threshold + 1 if rule.above else rule.threshold - 1)
        assert rule.clear_threshold <= rule.threshold if rule.above else rule.clear_threshold >= rule.threshold
        assert {metric.name for metric in rule.condition.metrics} <= {metric.name for metric in METRICS}


@pytest.mark.parametrize(
    ("rule", "value", "formatted"),
    [
        ("model_too_old", 30 * 86400 + 1, " 30 d "),
        ("verification_stopped", 3 * 3600 + 1, " 3 h "),
        ("no_new_observations", 1.7, " 1.7 "),
        ("clock_skew", 45, " 45 s."),
        ("budget_nearly_spent", 0.93, "93% "),
    ],
)
def test_a_value_is_formatted_with_its_unit(rule: str, value: float, formatted: str) -> None:
    assert formatted in RULES_BY_NAME[rule].summary_for("pipeline", value)


def test_a_model_is_too_old_after_thirty_days() -> None:
    rule, limit = RULES_BY_NAME["model_too_old"], timedelta(days=30).total_seconds()
    assert not rule.fires(limit)
    assert rule.fires(limit + 1)


def test_every_value_in_seconds_is_formatted_as_a_duration() -> None:
    for rule in RULES:
        seconds = isinstance(rule.condition, Latest | Quantile) and rule.condition.metric.name.endswith("_seconds")
        if "{value}" in rule.summary:
            assert (rule.value_format == DURATION) == seconds, rule.name
        assert "{value} s" not in rule.summary


def test_an_alert_about_a_station_links_to_the_page_of_the_station() -> None:
    alert = FiringAlert(RULES_BY_NAME["station_silent"], "a & b#c", NOON, 4.0)
    url = urlsplit(to_alert(alert, Links("http://airflow.example")).details["page"])
    assert url.path == "/weatherglass/dashboard/station"
    assert parse_qs(url.query) == {"id": ["a & b#c"]}

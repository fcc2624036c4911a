from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.weatherglass.alerts.cases import CASES, NOON, STEP, Case
from weatherglass.alerts import metrics as m
from weatherglass.alerts.conditions import Latest, Quantile
from weatherglass.alerts.metrics import METRICS
from weatherglass.alerts.notification import Links, alert_of
from weatherglass.alerts.rule_evaluator import Firing, RuleEvaluator, explained
from weatherglass.alerts.rules import BY_NAME, DURATION, RULES
from weatherglass.alerts.sample import MetricSample


def cumulative_to_single(sample: MetricSample) -> MetricSample:
    """Cases hold a histogram's buckets as Prometheus has them, cumulative."""
    for found in sample.distributions.values():
        for one in found.values():
            one.counts = [c - (one.counts[i - 1] if i else 0) for i, c in enumerate(one.counts)]
    return sample


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.name}")
def test_it_fires_and_resolves_when_it_should(case: Case) -> None:
    watch = RuleEvaluator([BY_NAME[case.rule]])
    on: list[set[str]] = []
    begun: list[str] = []
    over: list[str] = []
    for sample in case.samples():
        look = watch.look(cumulative_to_single(sample))
        on.append({firing.subject for firing in look.on})
        begun += [firing.subject for firing in look.begun]
        over += [firing.subject for firing in look.over]
        # It is told once: what has begun and is not over is on, and nothing else.
        assert sorted(begun) == sorted([*over, *on[-1]])
    assert {step: on[step] for step in case.expected} == case.expected


def test_since_is_when_it_began_not_when_it_was_told() -> None:
    rule = BY_NAME["job_not_running"]
    watch = RuleEvaluator([rule])
    begun = []
    for step in range(10):
        sample = MetricSample(NOON + step * STEP)
        sample.put(m.JOB_UP, 0 if step >= 2 else 1, "stream_features")
        begun += watch.look(sample).begun
    (firing,) = begun
    assert firing.since == NOON + 2 * STEP


def test_a_new_watcher_tells_nothing_again_and_resolves_what_the_old_one_told() -> None:
    rule = BY_NAME["job_not_running"]
    watch = RuleEvaluator([rule], [Firing(rule, "stream_features", NOON - timedelta(hours=1), 0.0)])
    still = MetricSample(NOON)
    still.put(m.JOB_UP, 0, "stream_features")
    assert watch.look(still).begun == []
    over = []
    for step in range(1, 10):
        well = MetricSample(NOON + step * STEP)
        well.put(m.JOB_UP, 1, "stream_features")
        look = watch.look(well)
        assert look.begun == []
        over += look.over
    assert [firing.subject for firing in over] == ["stream_features"]


def firing(rule: str, subject: str) -> Firing:
    return Firing(BY_NAME[rule], subject, NOON, 1.0)


def test_a_reason_explains_and_only_of_the_same_station() -> None:
    assert explained(firing("consumer_behind", "a b"), [firing("broker_unreachable", "pipeline")])
    late = firing("station_late", "denver")
    assert explained(late, [late, firing("station_silent", "denver")])
    assert not explained(late, [late, firing("station_silent", "boston")])
    assert not explained(late, [late])


def test_no_rule_is_its_own_reason_over_others() -> None:
    """Else two could keep each other quiet."""

    def reasons(name: str, seen: tuple[str, ...]) -> None:
        assert name not in seen, f"{' because of '.join((*seen, name))}"
        for reason in BY_NAME[name].because_of:
            reasons(reason, (*seen, name))

    for rule in RULES:
        reasons(rule.name, ())


def test_every_rule_says_what_a_person_needs() -> None:
    assert len(BY_NAME) == len(RULES)
    for rule in RULES:
        said = rule.said("denver", 1.0)
        assert "{" not in said
        told = (said, rule.means, rule.still_works, rule.to_do)
        assert all(len(text) > 5 and text.endswith((".", ")", "?")) for text in told)
        assert rule.fires(rule.limit + 1 if rule.above else rule.limit - 1)
        assert rule.clears <= rule.limit if rule.above else rule.clears >= rule.limit
        assert {metric.name for metric in rule.condition.metrics} <= {metric.name for metric in METRICS}


@pytest.mark.parametrize(
    ("rule", "value", "said"),
    [
        ("model_too_old", 30 * 86400 + 1, "The model in service was trained 30 d ago."),
        ("verification_stopped", 3 * 3600 + 1, "Forecasts have not been compared with what came true for 3 h."),
        ("no_new_observations", 1501, "No observation of any station has arrived for 25 min."),
        ("clock_skew", 45, "This machine's clock is 45 s off the source's."),
        ("budget_nearly_spent", 0.93, "93% of Open-Meteo's free calls of a day are used."),
    ],
)
def test_a_value_is_written_as_a_person_reads_it(rule: str, value: float, said: str) -> None:
    assert BY_NAME[rule].said("pipeline", value) == said


def test_every_value_in_seconds_is_written_as_a_duration() -> None:
    for rule in RULES:
        seconds = isinstance(rule.condition, Latest | Quantile) and rule.condition.metric.name.endswith("_seconds")
        if "{value}" in rule.words:
            assert (rule.value == DURATION) == seconds, rule.name
        assert "{value} s" not in rule.words


def test_a_stations_alert_links_to_that_stations_page() -> None:
    firing = Firing(BY_NAME["station_silent"], "a & b#c", NOON, 4.0)
    address = urlsplit(alert_of(firing, Links("http://airflow.example")).figures["page"])
    assert address.path == "/weatherglass/dashboard/station"
    assert parse_qs(address.query) == {"id": ["a & b#c"]}

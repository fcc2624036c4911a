"""Server errors of the API raise an alert."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from sqlalchemy import Engine, text

from tests.waiting import until
from tests.weatherglass.api.serving import standalone_api
from tests.weatherglass.monitor.conftest import Clock
from weatherglass.alerts.rule_evaluator import RuleEvaluator
from weatherglass.alerts.rules import RULES
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor.api_metrics import ApiMetrics
from weatherglass.monitor.metric_files import read_request_counts
from weatherglass.monitor.store_metrics import StoreMetrics
from weatherglass.settings import Settings

REQUESTS = 20
OK, ERROR = 0, 1


@pytest.mark.integration
def test_server_errors_raise_an_alert_that_is_resolved_later(settings: Settings, store: Engine, clock: Clock) -> None:
    store_metrics = StoreMetrics(settings, clock.now, clock.now)
    evaluator = RuleEvaluator(RULES)
    fired: set[tuple[str, str]] = set()
    resolved: set[tuple[str, str]] = set()

    def evaluate() -> None:
        sample = MetricSample(clock.advance())
        store_metrics.collect(sample)
        api.collect(sample)
        evaluation = evaluator.evaluate(sample)
        fired.update((firing.rule.name, firing.subject) for firing in evaluation.started)
        resolved.update((firing.rule.name, firing.subject) for firing in evaluation.resolved)

    with standalone_api(settings) as address:
        api = ApiMetrics(settings)

        def request(path: str, outcome: int) -> None:
            """Send `REQUESTS` requests with the expected outcome, and evaluate before and after."""
            before = count(outcome)
            evaluate()
            for _ in range(REQUESTS):
                httpx.get(f"{address}{path}", timeout=60)
            until(f"the counts of {path}", lambda: count(outcome) >= before + REQUESTS)
            evaluate()

        def count(outcome: int) -> int:
            return sum(counts[outcome] for counts in read_request_counts(settings).values())

        def rename(table: str, name: str) -> None:
            with store.begin() as connection:
                connection.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))

        try:
            request("/features/boston", OK)
            assert fired == set()
            rename("features", "renamed")
            request("/features/boston", ERROR)
            assert fired == {("api_errors", "pipeline")}
            request("/features/boston", ERROR)
            assert resolved == set()
            rename("renamed", "features")
            clock.now += timedelta(minutes=6)  # beyond the window of the rule
            for _ in range(8):
                request("/features/boston", OK)
            assert ("api_errors", "pipeline") in resolved
        finally:
            store_metrics.close()

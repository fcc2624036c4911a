"""The API gives errors of its own, as a user's programs see them, and the watcher tells of it."""

from __future__ import annotations

import time
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import Engine, text

from tests.weatherglass.api.serving import running_alone
from tests.weatherglass.monitor.conftest import Clock
from weatherglass.alerts.rule_evaluator import RuleEvaluator
from weatherglass.alerts.rules import RULES
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor.api_metrics import ApiMetrics
from weatherglass.monitor.exchange import read_answers
from weatherglass.monitor.store_metrics import StoreMetrics
from weatherglass.settings import Settings

REQUESTS = 20
WELL, FAILED = 0, 1


@pytest.mark.integration
def test_a_table_is_gone_and_comes_back(settings: Settings, store: Engine, clock: Clock) -> None:
    stored = StoreMetrics(settings, clock.now, clock.now)
    watch = RuleEvaluator(RULES)
    fired: set[tuple[str, str]] = set()
    over: set[tuple[str, str]] = set()

    def look() -> None:
        sample = MetricSample(clock.go())
        stored.look(sample)
        api.look(sample)
        seen = watch.look(sample)
        fired.update((firing.rule.name, firing.subject) for firing in seen.begun)
        over.update((firing.rule.name, firing.subject) for firing in seen.over)

    with running_alone(settings) as address:
        api = ApiMetrics(settings)

        def ask(path: str, kind: int) -> None:
            """So many requests, and a look before and after; `kind` is 0 where they go well, 1 where they fail."""
            before = answered(kind)
            look()
            for _ in range(REQUESTS):
                httpx.get(f"{address}{path}", timeout=60)
            end = time.monotonic() + 60
            while answered(kind) < before + REQUESTS:
                assert time.monotonic() < end, f"the answers to {path} are not told"
                time.sleep(0.2)
            look()

        def answered(kind: int) -> int:
            return sum(counts[kind] for counts in read_answers(settings).values())

        def rename(table: str, name: str) -> None:
            with store.begin() as connection:
                connection.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))

        try:
            ask("/features/boston", WELL)
            assert fired == set()
            rename("features", "lost")
            ask("/features/boston", FAILED)
            assert fired == {("api_errors", "pipeline")}
            ask("/features/boston", FAILED)
            assert over == set()
            rename("lost", "features")
            clock.now += timedelta(minutes=6)  # those that failed are of an earlier time
            for _ in range(8):
                ask("/features/boston", WELL)
            assert ("api_errors", "pipeline") in over
        finally:
            stored.close()

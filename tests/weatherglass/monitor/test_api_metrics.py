"""Requests are counted across restarts of API processes, and server errors raise an alert."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from tests.conftest import make_settings
from tests.waiting import until
from tests.weatherglass.api.serving import standalone_api
from tests.weatherglass.monitor.conftest import Clock
from weatherglass.alerts import metrics as m
from weatherglass.alerts.rule_evaluator import RuleEvaluator
from weatherglass.alerts.rules import RULES
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor.api_metrics import ApiMetrics
from weatherglass.monitor.metric_files import read_request_counts
from weatherglass.monitor.store_metrics import StoreMetrics
from weatherglass.settings import Settings

Step = dict[str, tuple[bool, int, int]]
Steps = list[Step]
REQUESTS = 20
OK, ERROR = 0, 1
STEPS = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 3)))
)
"""For each process that answers requests in a step: whether it has restarted, and its new requests, ok and errors."""


@given(before=STEPS, after=STEPS)
def test_each_request_since_the_start_counts_once_across_restarts(
    tmp_path_factory: pytest.TempPathFactory, before: Steps, after: Steps
) -> None:
    """A restart is visible if a count decreases; with the same or larger counts it looks like more requests."""
    settings = make_settings(tmp_path_factory.mktemp("counts") / "state")
    folder = settings.state_dir / "api"
    folder.mkdir(parents=True)
    counts: dict[str, tuple[int, int]] = {}

    def apply(step: Step) -> tuple[int, int]:
        """Write the counts of a step; returns how many requests they show."""
        shown = [0, 0]
        for process, (restarts, *new) in step.items():
            last = counts.get(process, (0, 0))
            visible = restarts and (new[OK] < last[OK] or new[ERROR] < last[ERROR])
            counts[process] = (new[OK], new[ERROR]) if visible else (last[OK] + new[OK], last[ERROR] + new[ERROR])
            shown = [shown[OK] + new[OK], shown[ERROR] + new[ERROR]]
            ok, errors = counts[process]
            (folder / f"requests-{process}.json").write_text(json.dumps({"ok": ok, "errors": errors}))
        return shown[OK], shown[ERROR]

    for step in before:
        apply(step)
    api, total = ApiMetrics(settings), (0, 0)
    for step in after:
        ok, errors = apply(step)
        total = total[OK] + ok, total[ERROR] + errors
        sample = MetricSample(datetime.now(UTC))
        api.collect(sample)
        measured = sample.get(m.API_REQUESTS, "ok"), sample.get(m.API_REQUESTS, "error")
        assert measured == (total if counts else (None, None))


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

"""The task of `benchmark_pipeline` passes its parameters on, and a retry continues the run."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.pipeline import run
from benchmarks.pipeline.scenarios import DEFAULT, Load, Scenario
from plugins.run_notes import SUMMARY_KEY
from plugins.tasks import benchmark
from tests.plugins.conftest import TaskInstance

TRIGGERED = SimpleNamespace(run_after=datetime(2026, 1, 5, 12, tzinfo=UTC))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments of each call: run, scenario, load, seconds."""
    found: list[tuple[Any, ...]] = []

    def record(settings: object, *arguments: Any, **_: object) -> list[str]:
        found.append(arguments[:4])
        return ["result"]

    monkeypatch.setattr(run, "run_scenario", record)
    return found


def test_the_parameters_are_the_load(calls: list[tuple[Any, ...]], ti: TaskInstance) -> None:
    params = {"scenario": "rates", "stations": 3, "rate": 2, "workers": 4, "minutes": 0.5}
    assert benchmark.measure(params, TRIGGERED, ti) == 1
    assert ti.xcoms == {SUMMARY_KEY: "1 load measured"}
    assert calls == [("20260105T120000Z-rates", Scenario.RATES, Load(3, 2.0, 4), 30.0)]


def test_a_retry_has_the_name_of_the_first_attempt(calls: list[tuple[Any, ...]]) -> None:
    for _ in range(2):
        benchmark.measure({}, TRIGGERED)
    assert calls == [("20260105T120000Z-baseline", Scenario.BASELINE, DEFAULT, 120.0)] * 2

"""`GET /benchmarks`: results, newest first, without rows that cannot be read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.weatherglass.api.conftest import NOW
from weatherglass.api.app import create_app
from weatherglass.settings import Settings
from weatherglass.store import benchmark_results
from weatherglass.store.benchmark_results import BenchmarkResult

FIGURES = {"latency_ms": {"p95": 12.5}}


def save(store: Engine, minutes: int, figures: Any) -> None:
    at = NOW + timedelta(minutes=minutes)
    with store.begin() as connection:
        result = BenchmarkResult(f"run-{minutes}", at, "rates", 20, 5.0, 1, figures, {"cores": "2"})
        benchmark_results.save(connection, result)


@pytest.mark.parametrize("unreadable", [7, [], "text"])
def test_readable_results_are_returned_newest_first(settings: Settings, store: Engine, unreadable: Any) -> None:
    for minutes, figures in ((1, FIGURES), (2, unreadable), (3, FIGURES)):
        save(store, minutes, figures)
    with TestClient(create_app(settings, clock=lambda: NOW)) as client:
        results = client.get("/benchmarks").json()["results"]
        limited = client.get("/benchmarks", params={"limit": 1}).json()["results"]
        assert client.get("/benchmarks", params={"limit": 0}).status_code == 422
    assert [result["run"] for result in results] == ["run-3", "run-1"]
    assert limited == results[:1]
    assert [result["figures"] for result in results] == [FIGURES, FIGURES]

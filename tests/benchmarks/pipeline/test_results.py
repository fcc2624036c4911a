"""Figures of a load against values computed by hand, and the files of a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Engine

from benchmarks.pipeline import results
from benchmarks.pipeline.events import Key
from benchmarks.pipeline.isolated import FEATURES, SERVE
from benchmarks.pipeline.results import COLUMNS, environment, figures, latencies, quantiles, table, write_files
from benchmarks.pipeline.usage import Usage
from weatherglass.store import benchmark_results
from weatherglass.store.benchmark_results import BenchmarkResult

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def at_second(second: int, station: str = "a") -> Key:
    return station, NOON + timedelta(seconds=second)


PRODUCED = {at_second(second): 100.0 + second for second in range(20)}
READABLE = {at_second(second): 100.25 + second for second in range(0, 19, 2)}
"""Odd ones are in the prediction of the next one, a second later; the last one is in none."""
STORED = {key: at + 1.0 for key, at in READABLE.items()}
USAGE = Usage(cores={"kafka": 0.25, "stream_features": 0.5}, memory_mb={"kafka": 100.0}, lag={"ray-ml-inference": 7})
REPORTS = {
    FEATURES: [
        {"rows": 10, "ms": 200, "kafka_bytes_per_second": {"received": 100.0, "sent": 40.0}},
        {"rows": 30, "ms": 400, "kafka_bytes_per_second": {"received": 300.0, "sent": 60.0}},
        {"message": "no batch"},
    ],
    SERVE: [{"records": 12, "batches": 4, "ms": 20, "model_version": "3"}, {"records": 0, "batches": 0}],
}


def measured() -> dict:
    return figures(PRODUCED, READABLE, STORED, (105.0, 115.0), USAGE, REPORTS)


def result(run: str = "run-1", stations: int = 10) -> BenchmarkResult:
    return BenchmarkResult(run, NOON, "stations", stations, 5.0, 1, measured(), environment())


def test_only_the_window_counts() -> None:
    found = measured()
    assert found["seconds"] == 10.0
    assert found["observations_per_second"] == 1.0  # produced at 105 to 114
    assert found["predictions_per_second"] == 0.5  # read at 106.25 to 114.25
    assert found["latency_ms"] == {"p50": 750.0, "p95": 1250.0, "p99": 1250.0, "max": 1250.0, "count": 10}
    assert found["stored_ms"]["max"] == 2250.0
    assert found["observations_without_prediction"] == 0


def test_batches_are_those_of_the_reports_with_records() -> None:
    found = measured()
    assert found["features"]["rows_per_batch"] == 20.0
    assert found["features"]["batch_ms"]["max"] == 400.0
    assert found["inference"]["records_per_batch"] == 3.0
    assert found["inference"]["model_version"] == "3"
    assert found["cores"]["total"] == 0.75
    assert found["lag"] == {"ray-ml-inference": 7}
    assert found["kafka_bytes_per_second"] == {
        FEATURES: {"received": 200.0, "sent": 50.0},
        SERVE: {"received": None, "sent": None},
    }


def test_quantiles_are_those_of_the_values() -> None:
    found = quantiles([float(value) for value in range(101)])
    assert found == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0, "count": 101}
    assert quantiles([]) == {"count": 0}


def test_a_superseded_observation_waits_for_the_first_prediction_of_a_newer_one() -> None:
    produced = {at_second(second): 100.0 + second for second in range(5)} | {at_second(0, "b"): 100.0}
    predicted = {at_second(2): 104.5, at_second(3): 103.5}  # that of 3 is readable first
    assert latencies(produced, predicted, 0.0, 200.0) == [3500.0, 2500.0, 1500.0, 500.0]
    assert latencies(produced, predicted, 101.0, 103.0) == [2500.0, 1500.0]


def test_observations_in_no_prediction_are_counted() -> None:
    found = figures(PRODUCED, READABLE, STORED, (118.0, 120.0), USAGE, REPORTS)
    assert (found["latency_ms"]["count"], found["observations_without_prediction"]) == (1, 1)


def test_a_package_that_is_not_installed_as_such_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the container image, Weatherglass is a copied folder."""

    def version(name: str) -> str:
        if name == "weatherglass":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(results, "version", version)
    found = environment()
    assert "weatherglass" not in found
    assert found["pyspark"] == "1"


def test_a_load_without_predictions_has_figures() -> None:
    found = figures({}, {}, {}, (0.0, 1.0), Usage(), {FEATURES: [], SERVE: []})
    assert found["latency_ms"] == {"count": 0}
    assert found["inference"]["records_per_batch"] is None


def test_the_store_returns_what_was_saved_newest_first(store: Engine) -> None:
    saved = [result(stations=stations) for stations in (10, 50)]
    with store.begin() as connection:
        for each in saved:
            benchmark_results.save(connection, each)
    with store.connect() as connection:
        assert benchmark_results.newest(connection, 10) == saved[::-1]
        assert benchmark_results.newest(connection, 1) == saved[1:]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_files_contain_a_row_for_each_load(tmp_path: Path, suffix: str) -> None:
    write_files(tmp_path, "run-1", [result(stations=10), result(stations=50)])
    file = tmp_path / f"run-1.{suffix}"
    rows = pd.read_parquet(file) if suffix == "parquet" else pd.read_csv(file)
    assert rows["stations"].tolist() == [10, 50]
    assert rows["latency_ms.p95"].tolist() == [1250.0, 1250.0]
    assert rows["environment.python"].notna().all()


def test_the_table_has_a_line_for_each_load() -> None:
    lines = table([result(stations=10), result(stations=50)]).splitlines()
    assert len(lines) == 3
    assert {"stations", "latency_ms.p95"} <= set(lines[0].split()) <= set(COLUMNS)

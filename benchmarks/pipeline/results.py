"""Figures of a load from what was recorded, and the table and files of a run."""

from __future__ import annotations

import os
import platform
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from benchmarks.pipeline.events import Key
from benchmarks.pipeline.isolated import FEATURES, SERVE
from benchmarks.pipeline.usage import Usage
from weatherglass.consumer.client_metrics import BYTE_RATES
from weatherglass.store.benchmark_results import BenchmarkResult

PACKAGES = ("weatherglass", "apache-airflow", "pyspark", "ray", "kafka-python", "lightgbm", "sqlalchemy")
TRAFFIC = "kafka_bytes_per_second"
"""Field of the jobs' progress reports."""
QUANTILES = {"p50": 50, "p95": 95, "p99": 99}
COLUMNS = (
    *("stations", "rate", "workers", "observations_per_second", "predictions_per_second"),
    *("latency_ms.p50", "latency_ms.p95", "latency_ms.p99", "stored_ms.p95", "lag.spark-weather-processors"),
    *("lag.ray-ml-inference", "features.batch_ms.p50", "inference.slowest_batch_ms.p50", "inference.records_per_batch"),
    *("cores.total", "memory_mb.total"),
)
"""Columns of the printed table; the files contain all."""


def environment() -> dict[str, str]:
    """The machine and the versions with which a run was measured."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    cpu = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.machine())
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "memory_gib": f"{psutil.virtual_memory().total / 2**30:.1f}",
        "load_average": f"{os.getloadavg()[0]:.2f}",
        "system": platform.platform(),
        "python": platform.python_version(),
        **_versions(),
    }


def _versions() -> dict[str, str]:
    """The versions of the packages that are installed as such; in the container image, Weatherglass is not."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99, the maximum and the number of values; only the number if there are none."""
    if not values:
        return {"count": 0}
    cuts = np.percentile(np.asarray(values, np.float64), list(QUANTILES.values()))
    named = {name: round(float(cut), 1) for name, cut in zip(QUANTILES, cuts, strict=True)}
    return named | {"max": round(max(values), 1), "count": len(values)}


def latencies(produced: dict[Key, float], predicted: dict[Key, float], since: float, until: float) -> list[float]:
    """Milliseconds from the production in [since, until) of an observation to the first prediction that includes it.

    This is its own, or, if a newer observation of its station was in the same batch, that of the newer one. Otherwise
    the observations that wait longest, which are superseded most often, would be missing. Those that are in no
    prediction are not in the result.

    Args:
        predicted: when the prediction of an observation was readable or stored; Unix seconds.
    """
    series: dict[str, list[tuple[datetime, float]]] = defaultdict(list)
    for (station, time), at in predicted.items():
        series[station].append((time, at))
    times, earliest = {}, {}
    for station, found in series.items():
        times[station], available = zip(*sorted(found), strict=True)
        earliest[station] = list(accumulate(reversed(available), min))[::-1]
    waits = []
    for (station, time), at in produced.items():
        position = bisect_left(times.get(station, ()), time)
        if since <= at < until and position < len(times.get(station, ())):
            waits.append(1000 * (earliest[station][position] - at))
    return waits


def kafka_bytes(reports: Iterable[dict[str, Any]]) -> dict[str, float | None]:
    """Bytes per second that a job's Kafka clients received and sent: the mean of its reports; None without reports.

    Each report has the averages of the clients over the last 30 to 60 seconds.
    """
    rates = [report[TRAFFIC] for report in reports if TRAFFIC in report]
    return {name: round(float(np.mean([rate[name] for rate in rates])), 1) if rates else None for name in BYTE_RATES}


def figures(
    produced: dict[Key, float],
    readable: dict[Key, float],
    stored: dict[Key, float],
    window: tuple[float, float],
    usage: Usage,
    reports: dict[str, list[dict[str, Any]]],
) -> dict[str, Any]:
    """The figures of a load.

    Args:
        stored: when the prediction of an observation was stored; Unix seconds.
        window: begin and end of the measurement, Unix seconds.
        reports: job -> its progress reports in the window.
    """
    begin, end = window
    seconds = end - begin
    observed = sum(begin <= at < end for at in produced.values())
    predicted = sum(begin <= at < end for at in readable.values())
    batches = [report for report in reports[FEATURES] if "rows" in report]
    served = [report for report in reports[SERVE] if report.get("batches")]
    records = [report["records"] / report["batches"] for report in served]
    waits = latencies(produced, readable, begin, end)
    return {
        "seconds": round(seconds, 1),
        "observations_per_second": round(observed / seconds, 2),
        "predictions_per_second": round(predicted / seconds, 2),
        "observations_without_prediction": observed - len(waits),
        "latency_ms": quantiles(waits),
        "stored_ms": quantiles(latencies(produced, stored, begin, end)),
        "features": {
            "batch_ms": quantiles([float(report["ms"]) for report in batches]),
            "rows_per_batch": round(float(np.mean([report["rows"] for report in batches])), 1) if batches else None,
        },
        "inference": {
            "slowest_batch_ms": quantiles([float(report["ms"]) for report in served]),
            "records_per_batch": round(float(np.mean(records)), 1) if records else None,
            "model_version": served[-1].get("model_version") if served else None,
        },
        "cores": usage.cores | {"total": round(sum(usage.cores.values()), 3)},
        "memory_mb": usage.memory_mb | {"total": round(sum(usage.memory_mb.values()), 1)},
        "topic_bytes_per_second": usage.topic_bytes,
        TRAFFIC: {job: kafka_bytes(found) for job, found in reports.items()},
        "lag": usage.lag,
        "final_lag": usage.final_lag,
    }


def frame(results: Iterable[BenchmarkResult]) -> pd.DataFrame:
    """One row for each result; nested figures have names such as `latency_ms.p95`."""
    rows = [
        {"run": r.run, "at": r.at, "scenario": r.scenario, "stations": r.stations, "rate": r.rate, "workers": r.workers}
        | r.figures
        | {"environment": r.environment}
        for r in results
    ]
    return pd.json_normalize(rows)


def table(results: Iterable[BenchmarkResult]) -> str:
    """The most important columns, for a log."""
    rows = frame(results)
    shown = [name for name in COLUMNS if name in rows]
    return str(rows[shown].to_string(index=False, na_rep="-"))


def write_files(folder: Path, run: str, results: Sequence[BenchmarkResult]) -> Path:
    """Write the results of a run as Parquet and CSV; returns the Parquet file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = frame(results)
    rows.to_csv(folder / f"{run}.csv", index=False)
    rows.to_parquet(folder / f"{run}.parquet", index=False)
    return folder / f"{run}.parquet"

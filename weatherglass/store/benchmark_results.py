"""Results of benchmarks of the pipeline, one row for each measured load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from weatherglass.store.readable import read_rows
from weatherglass.store.schema import benchmark_results as table


@dataclass(frozen=True)
class BenchmarkResult:
    """A measured load.

    Attributes:
        run: the run that it belongs to.
        at: end of the measurement, UTC.
        scenario: what the run varied.
        rate: observations per second that were asked for.
        workers: Spark's cores and inference actors.
        figures: what was measured, see `benchmarks.pipeline.results.figures`.
        environment: machine and versions.
    """

    run: str
    at: datetime
    scenario: str
    stations: int
    rate: float
    workers: int
    figures: dict[str, Any]
    environment: dict[str, str]


def save(connection: Connection, result: BenchmarkResult) -> None:
    """Save a result. The caller commits."""
    connection.execute(table.insert().values(**asdict(result)))


def of_run(connection: Connection, run: str) -> list[BenchmarkResult]:
    """The results of a run, oldest first."""
    return _results(connection.execute(select(table).where(table.c.run == run).order_by(table.c.id)).all())


def newest(connection: Connection, limit: int) -> list[BenchmarkResult]:
    """The newest results, newest first."""
    return _results(connection.execute(select(table).order_by(table.c.id.desc()).limit(limit)).all())


def _results(rows: Sequence[Row]) -> list[BenchmarkResult]:
    return read_rows(rows, lambda row: BenchmarkResult(**{k: v for k, v in row._asdict().items() if k != "id"}))

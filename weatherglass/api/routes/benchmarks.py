"""`GET /benchmarks`: results of benchmarks of the pipeline."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import ConnectionDep
from weatherglass.api.problems import error_responses
from weatherglass.records import Time
from weatherglass.store import benchmark_results
from weatherglass.store.benchmark_results import BenchmarkResult
from weatherglass.store.readable import read_rows

router = APIRouter(tags=["health"])


class BenchmarkItem(BaseModel):
    """A measured load."""

    run: str = Field(description="The run that it belongs to.", examples=["20260105T120000Z-rates"])
    at: Time = Field(description="End of the measurement.")
    scenario: str = Field(description="What the run varied.", examples=["rates"])
    stations: int
    rate: float = Field(description="Observations per second that were asked for.")
    workers: int = Field(description="Spark's cores, and inference actors.")
    figures: dict[str, Any] = Field(
        description="What was measured.",
        examples=[{"latency_ms": {"p50": 812.0, "p95": 1204.0}, "predictions_per_second": 19.8}],
    )
    environment: dict[str, str] = Field(description="Machine and versions.", examples=[{"cores": "2"}])


class BenchmarksResponse(BaseModel):
    results: list[BenchmarkItem] = Field(description="Newest first.")


@router.get("/benchmarks", summary="Benchmarks of the pipeline", responses=error_responses(422, 503))
def benchmarks(
    store: ConnectionDep, limit: Annotated[int, Query(ge=1, le=500, description="Highest number of results.")] = 100
) -> BenchmarksResponse:
    """The newest results of the DAG `benchmark_pipeline` and of `make bench`."""
    found = benchmark_results.newest(store, limit)
    return BenchmarksResponse(results=read_rows(found, _item))


def _item(result: BenchmarkResult) -> BenchmarkItem:
    return BenchmarkItem.model_validate(result, from_attributes=True)

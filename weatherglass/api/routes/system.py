"""`GET /system`: throughput, latency, progress of the long-lived jobs and resource usage."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from weatherglass.alerts.health import required_jobs
from weatherglass.api.dependencies import ConnectionDep, NowDep, SettingsDep
from weatherglass.api.problems import error_responses
from weatherglass.api.resources import ResourceUsageItem, resource_usage
from weatherglass.jobs.folder import JobFolder
from weatherglass.records import Time
from weatherglass.settings import Settings
from weatherglass.store.throughput import ThroughputStep, throughput

router = APIRouter(tags=["health"])

THROUGHPUT_STEPS = 60
PROGRESS_LINES = 120
CACHED_ABOVE_HOURS = 24
CACHE_LIFETIME = timedelta(minutes=5)
"""A query over more than `CACHED_ABOVE_HOURS` takes seconds, and the page repeats it at every new prediction."""


@dataclass(frozen=True)
class CachedThroughput:
    """The result of the last query over a long time range."""

    hours: float
    queried_at: datetime
    rows: list[ThroughputStep]


class ThroughputItem(BaseModel):
    """Records stored in a time step, and the latency of predictions."""

    start: Time = Field(examples=["2026-01-05T12:14:00Z"])
    observations: int = Field(examples=[20])
    predictions: int = Field(examples=[20])
    latency_p50: float | None = Field(
        description="Median time from storing an observation to storing its prediction, seconds; null without "
        "predictions.",
        examples=[1.0],
    )
    latency_p95: float | None = Field(description="95th percentile of this time, seconds.", examples=[1.8])


class ProgressItem(BaseModel):
    """A progress entry of a job. The keys of `metrics` depend on the job."""

    at: Time = Field(examples=["2026-01-05T12:15:03Z"])
    message: str = Field(examples=["Batch 812: 20 observations (20/s) in 380 ms, lag 0"])
    metrics: dict[str, Any] = Field(examples=[{"rows": 20, "ms": 380, "lag": 0}])


class JobItem(BaseModel):
    name: str = Field(examples=["stream_features"])
    running: bool
    heartbeat_age: float | None = Field(description="Seconds since the last heartbeat.", examples=[0.4])
    started_at: Time | None = Field(examples=["2026-01-05T08:00:00Z"])
    progress: list[ProgressItem] = Field(description="The latest progress entries, the oldest first.")


class SystemResponse(BaseModel):
    step_seconds: float = Field(description="Length of a time step.", examples=[60.0])
    flow: list[ThroughputItem] = Field(description="Throughput and latency by time step, the oldest first.")
    jobs: list[JobItem] = Field(description="The long-lived jobs.")
    usage: list[ResourceUsageItem] = Field(description="Resource usage of the components on this machine.")


@router.get("/system", summary="Throughput, jobs and resource usage", responses=error_responses(422, 503))
def system(
    request: Request,
    store: ConnectionDep,
    settings: SettingsDep,
    now: NowDep,
    hours: Annotated[float, Query(ge=0.25, le=168, description="Length of the time range of `flow`.")] = 1,
) -> SystemResponse:
    """Throughput and latency, progress of the long-lived jobs, and memory and CPU usage of the components."""
    step = timedelta(hours=hours) / THROUGHPUT_STEPS
    rows = _throughput(request, store, now, hours)
    return SystemResponse(
        step_seconds=step.total_seconds(),
        flow=[ThroughputItem.model_validate(row, from_attributes=True) for row in rows],
        jobs=[_job_item(name, settings, now) for name in required_jobs(settings)],
        usage=resource_usage(settings),
    )


def _throughput(request: Request, store: Connection, now: datetime, hours: float) -> list[ThroughputStep]:
    """Query the throughput; for more than `CACHED_ABOVE_HOURS`, the result may be up to `CACHE_LIFETIME` old."""
    cached = request.app.state.cached_throughput
    if cached is not None and cached.hours == hours and timedelta() <= now - cached.queried_at < CACHE_LIFETIME:
        return cached.rows
    step = timedelta(hours=hours) / THROUGHPUT_STEPS
    rows = throughput(store, now - step * THROUGHPUT_STEPS, now, step)
    if hours > CACHED_ABOVE_HOURS:
        request.app.state.cached_throughput = CachedThroughput(hours, now, rows)
    return rows


def _job_item(name: str, settings: Settings, now: datetime) -> JobItem:
    folder = JobFolder(settings.jobs_dir / name)
    return JobItem(
        name=name,
        running=folder.alive(),
        heartbeat_age=folder.heartbeat_age(now),
        started_at=folder.started().get("at"),
        progress=_progress(folder),
    )


def _progress(folder: JobFolder) -> list[ProgressItem]:
    """The last complete and valid lines of a job's progress file."""
    try:
        with folder.progress.open("rb") as file:
            file.seek(max(0, folder.progress.stat().st_size - 512 * PROGRESS_LINES))
            lines = deque(file.read().split(b"\n")[:-1], maxlen=PROGRESS_LINES)
    except FileNotFoundError:
        return []
    items = []
    for line in lines:
        try:
            metrics = json.loads(line)
            items.append(ProgressItem(at=metrics.pop("at"), message=metrics.pop("message"), metrics=metrics))
        except (ValueError, KeyError, AttributeError):  # the first line may be truncated
            continue
    return items

"""`GET /system`: how fast the pipeline is, and what its long-lived jobs say."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from weatherglass.alerts.health import JOBS
from weatherglass.api.dependencies import Now, SettingsOf, Store
from weatherglass.api.problems import responses
from weatherglass.api.resources import PartUsage, usage
from weatherglass.jobs.folder import JobFolder
from weatherglass.records import Time
from weatherglass.settings import Settings
from weatherglass.store.throughput import Flow, flow

router = APIRouter(tags=["health"])

STEPS = 60
PROGRESS_LINES = 120
LONG_HOURS = 24
LONG_STAYS = timedelta(minutes=5)
"""A flow over more than `LONG_HOURS` takes seconds to read, and a page asks again at every prediction."""


@dataclass(frozen=True)
class LongFlow:
    """The last long flow that was asked for, and when it was read."""

    hours: float
    at: datetime
    rows: list[Flow]


class Step(BaseModel):
    """What was stored in a stretch of time."""

    start: Time = Field(examples=["2026-01-05T12:14:00Z"])
    observations: int = Field(examples=[20])
    predictions: int = Field(examples=[20])
    latency_p50: float | None = Field(
        description="Seconds from an observation's storing to its prediction's; null without any.", examples=[1.0]
    )
    latency_p95: float | None = Field(description="The same, of all but the slowest twentieth.", examples=[1.8])


class ProgressEntry(BaseModel):
    """A line of a job's progress; `figures` are the job's own."""

    at: Time = Field(examples=["2026-01-05T12:15:03Z"])
    said: str = Field(examples=["batch 812: 20 observations (20/s) in 380 ms"])
    figures: dict[str, Any] = Field(examples=[{"rows": 20, "ms": 380, "lag": 0}])


class JobAnswer(BaseModel):
    name: str = Field(examples=["stream_features"])
    running: bool
    heartbeat_age: float | None = Field(description="Seconds since its last sign of work.", examples=[0.4])
    started_at: Time | None = Field(examples=["2026-01-05T08:00:00Z"])
    progress: list[ProgressEntry] = Field(description="Its last lines, the oldest first.")


class System(BaseModel):
    step_seconds: float = Field(examples=[60.0])
    flow: list[Step] = Field(description="The oldest first.")
    jobs: list[JobAnswer]
    usage: list[PartUsage] = Field(description="Processes, memory and CPU of the parts on this machine.")


@router.get("/system", summary="Speed, jobs and what they use", responses=responses(422, 503))
def system(
    request: Request,
    store: Store,
    settings: SettingsOf,
    now: Now,
    hours: Annotated[float, Query(ge=0.25, le=168, description="How far back the flow reaches.")] = 1,
) -> System:
    """Throughput and latency over the last hours, the progress of the long-lived jobs, memory and CPU of the parts."""
    step = timedelta(hours=hours) / STEPS
    rows = _flow(request, store, now, hours)
    return System(
        step_seconds=step.total_seconds(),
        flow=[Step.model_validate(row, from_attributes=True) for row in rows],
        jobs=[_job(name, settings, now) for name in JOBS],
        usage=usage(settings),
    )


def _flow(request: Request, store: Connection, now: datetime, hours: float) -> list[Flow]:
    """Over more than a day as it was up to five minutes ago."""
    kept = request.app.state.long_flow
    if kept is not None and kept.hours == hours and timedelta() <= now - kept.at < LONG_STAYS:
        return kept.rows
    step = timedelta(hours=hours) / STEPS
    rows = flow(store, now - step * STEPS, now, step)
    if hours > LONG_HOURS:
        request.app.state.long_flow = LongFlow(hours, now, rows)
    return rows


def _job(name: str, settings: Settings, now: Any) -> JobAnswer:
    folder = JobFolder(settings.jobs_dir / name)
    return JobAnswer(
        name=name,
        running=folder.alive(),
        heartbeat_age=folder.silence(now),
        started_at=folder.started().get("at"),
        progress=_progress(folder),
    )


def _progress(folder: JobFolder) -> list[ProgressEntry]:
    """The last complete lines of a job's progress that can be read."""
    try:
        with folder.progress.open("rb") as file:
            file.seek(max(0, folder.progress.stat().st_size - 512 * PROGRESS_LINES))
            lines = deque(file.read().split(b"\n")[:-1], maxlen=PROGRESS_LINES)
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            figures = json.loads(line)
            found.append(ProgressEntry(at=figures.pop("at"), said=figures.pop("said"), figures=figures))
        except (ValueError, KeyError, AttributeError):  # the first line may be cut off
            continue
    return found

"""`GET /metrics`: the API's own counters and times, and gauges of the pipeline, for Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weatherglass.alerts.health import JOBS, HealthState, pipeline_health
from weatherglass.api.dependencies import Now, SettingsOf
from weatherglass.jobs.folder import JobFolder
from weatherglass.monitor.exchange import read_exposition, write_answers
from weatherglass.settings import Settings
from weatherglass.store.alert_log import listed

router = APIRouter(tags=["health"])

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


TOLD_AFTER = 1.0
"""Seconds after an answer at which the watcher can read that it was given."""


class Requests:
    """Counts and times of the requests of one app; a registry of its own, so that two apps do not collide.

    How many were answered well and how many with an error of our own is left in a file for the watcher.
    """

    def __init__(self, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.count = Counter("weatherglass_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram(
            "weatherglass_request_seconds",
            "Time from a request to the start of its answer, seconds.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._settings = settings
        self._ok = self._errors = 0
        self._telling: asyncio.TimerHandle | None = None

    def note(self, status: int) -> None:
        """Count an answer for the watcher, who is told a moment later of all that came meanwhile."""
        if status >= 500:
            self._errors += 1
        else:
            self._ok += 1
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TOLD_AFTER, self._tell)

    def _tell(self) -> None:
        self._telling = None
        with suppress(OSError):  # a full disk is told of elsewhere
            write_answers(self._settings, self._ok, self._errors)


class Measured:
    """Measures every request, by the route's template: a station's name never becomes a label."""

    def __init__(self, app: ASGIApp, requests: Requests):
        self.app, self.requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
                self.requests.count.labels(method, route, str(message["status"])).inc()
                self.requests.seconds.labels(method, route).observe(time.perf_counter() - started)
                self.requests.note(message["status"])
            await send(message)

        await self.app(scope, receive, measured)


class PipelineCollector(Collector):
    """Gauges of the pipeline's parts, looked up when they are asked for."""

    def __init__(self, settings: Settings, now: Now, request: Request):
        self.settings, self.now, self.store = settings, now, request.app.state.store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        health = pipeline_health(self.settings, self.now, self.store)
        state = GaugeMetricFamily(
            "weatherglass_part_state", "State of a part: 0 ok, 1 degraded, 2 failing.", labels=("part",)
        )
        age = GaugeMetricFamily(
            "weatherglass_part_age_seconds", "Time since a part's last sign of work.", labels=("part",)
        )
        for part in health.parts:
            state.add_metric((part.name,), list(HealthState).index(part.state))
            if part.age_seconds is not None:
                age.add_metric((part.name,), part.age_seconds)
        yield from (state, age, self._lag(), self._alerts())

    def _lag(self) -> GaugeMetricFamily:
        lag = GaugeMetricFamily(
            "weatherglass_job_lag_records", "Records that wait for a job, as it last said.", labels=("job",)
        )
        for name in JOBS:
            said = (JobFolder(self.settings.jobs_dir / name).last_progress() or {}).get("lag")
            if isinstance(said, dict):
                said = sum(said.values())
            if isinstance(said, int | float):
                lag.add_metric((name,), said)
        return lag

    def _alerts(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily("weatherglass_alerts_open", "Open alerts.", labels=("severity",))
        try:
            with self.store.connect() as connection:
                severities = [alert.severity for alert in listed(connection, 500, opened=True)]
        except SQLAlchemyError:
            return family  # the store's own gauge says that it is away
        for severity in sorted({"warning", "critical", *severities}):
            family.add_metric((severity,), severities.count(severity))
        return family


@router.get(
    "/metrics",
    summary="For Prometheus",
    response_class=Response,
    responses={200: {"description": "Text exposition.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request, settings: SettingsOf, now: Now) -> Response:
    """Counters and histograms of the API, gauges of the pipeline: state and age of each part, lag, open alerts.

    And all that the watcher measures, as it was at its last look; nothing of it while the watcher does not run.
    """
    pipeline = CollectorRegistry()
    pipeline.register(PipelineCollector(settings, now, request))
    text = generate_latest(request.app.state.requests.registry) + generate_latest(pipeline)
    text += read_exposition(settings, now).encode()
    return Response(text, media_type=CONTENT_TYPE_LATEST)

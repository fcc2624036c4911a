"""`GET /metrics`: request metrics of the API and gauges of the pipeline, in the Prometheus text format."""

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

from weatherglass.alerts.health import HealthState, pipeline_health, required_jobs
from weatherglass.api.dependencies import NowDep, SettingsDep
from weatherglass.jobs.folder import JobFolder
from weatherglass.monitor.metric_files import read_exposition, write_request_counts
from weatherglass.settings import Settings
from weatherglass.store.alert_queries import list_alerts

router = APIRouter(tags=["health"])

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
FLUSH_DELAY_SECONDS = 1.0
"""Delay between a response and the write of the response counts for the monitor."""


class RequestMetrics:
    """Request counts and durations of one app, in a registry of its own so that two apps in a process do not collide.

    The number of successful responses and of server errors is also written to a file for the monitor.
    """

    def __init__(self, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.count = Counter("weatherglass_requests", "Completed requests.", labels, registry=self.registry)
        self.seconds = Histogram(
            "weatherglass_request_seconds",
            "Time from the request to the start of the response, seconds.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._settings = settings
        self._ok = self._errors = 0
        self._pending_flush: asyncio.TimerHandle | None = None

    def record_response(self, status: int) -> None:
        """Count a response, and write the counts after `FLUSH_DELAY_SECONDS` unless a write is pending."""
        if status >= 500:
            self._errors += 1
        else:
            self._ok += 1
        if self._pending_flush is None:
            self._pending_flush = asyncio.get_running_loop().call_later(FLUSH_DELAY_SECONDS, self._flush)

    def _flush(self) -> None:
        self._pending_flush = None
        with suppress(OSError):  # a full disk raises an alert of its own
            write_request_counts(self._settings, self._ok, self._errors)


class RequestMetricsMiddleware:
    """Measures requests by route template, so that station ids do not become label values."""

    def __init__(self, app: ASGIApp, requests: RequestMetrics):
        self.app, self.requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()

        async def send_and_record(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
                self.requests.count.labels(method, route, str(message["status"])).inc()
                self.requests.seconds.labels(method, route).observe(time.perf_counter() - started)
                self.requests.record_response(message["status"])
            await send(message)

        await self.app(scope, receive, send_and_record)


class PipelineCollector(Collector):
    """Gauges of the pipeline's components, read from the store and the job folders at each scrape."""

    def __init__(self, settings: Settings, now: NowDep, request: Request):
        self.settings, self.now, self.store = settings, now, request.app.state.store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        health = pipeline_health(self.settings, self.now, self.store)
        state = GaugeMetricFamily(
            "weatherglass_part_state", "State of a component: 0 ok, 1 degraded, 2 failing.", labels=("part",)
        )
        age = GaugeMetricFamily(
            "weatherglass_part_age_seconds", "Time since a component last did work.", labels=("part",)
        )
        for component in health.components:
            state.add_metric((component.name,), list(HealthState).index(component.state))
            if component.age_seconds is not None:
                age.add_metric((component.name,), component.age_seconds)
        yield from (state, age, self._lag(), self._alerts())

    def _lag(self) -> GaugeMetricFamily:
        lag = GaugeMetricFamily(
            "weatherglass_job_lag_records", "Consumer lag of a job in records, as last reported.", labels=("job",)
        )
        for name in required_jobs(self.settings):
            reported = (JobFolder(self.settings.jobs_dir / name).last_progress() or {}).get("lag")
            if isinstance(reported, dict):
                reported = sum(reported.values())
            if isinstance(reported, int | float):
                lag.add_metric((name,), reported)
        return lag

    def _alerts(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily("weatherglass_alerts_open", "Open alerts.", labels=("severity",))
        try:
            with self.store.connect() as connection:
                severities = [alert.severity for alert in list_alerts(connection, 500, is_open=True)]
        except SQLAlchemyError:
            return family  # the state of the component `store` shows the failure
        for severity in sorted({"warning", "critical", *severities}):
            family.add_metric((severity,), severities.count(severity))
        return family


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"description": "Prometheus text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
)
def metrics(request: Request, settings: SettingsDep, now: NowDep) -> Response:
    """Request metrics of the API, and state and age of each component, consumer lag and open alerts.

    Includes the latest metrics of the monitor while it is running.
    """
    pipeline = CollectorRegistry()
    pipeline.register(PipelineCollector(settings, now, request))
    text = generate_latest(request.app.state.requests.registry) + generate_latest(pipeline)
    text += read_exposition(settings, now).encode()
    return Response(text, media_type=CONTENT_TYPE_LATEST)

"""Assembles the FastAPI app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import Depends, FastAPI
from starlette.middleware.gzip import GZipMiddleware

from weatherglass.api import problems
from weatherglass.api.auth import current_user
from weatherglass.api.dashboard import pages
from weatherglass.api.etag import ETagMiddleware
from weatherglass.api.event_stream import EventStream
from weatherglass.api.record_publisher import RecordPublisher
from weatherglass.api.routes import (
    alerts,
    anomalies,
    anomaly_events,
    benchmarks,
    detection,
    docs,
    events,
    features,
    guidance,
    health,
    history,
    metric_history,
    metrics,
    models,
    observations,
    predictions,
    publish_observations,
    stations,
    system,
    verification,
    weather_alert_backtest,
    weather_alerts,
)
from weatherglass.api.routes.metrics import RequestMetrics, RequestMetricsMiddleware
from weatherglass.api.security_headers import SecurityHeadersMiddleware
from weatherglass.api.station_auth import StationAuthenticator
from weatherglass.settings import Settings
from weatherglass.store.engine import open_store

DESCRIPTION = """\
Observations of weather stations, forecasts for the next 24 hours, and anomalies in the observations.

Times are ISO 8601 in UTC. Units: °C, %, hPa (station pressure), m/s, and degrees for the direction from which the wind
blows. A missing number is `null`. Every error response is a problem document (RFC 9457, `application/problem+json`).
"""

ROUTE_MODULES = (
    stations,
    predictions,
    history,
    observations,
    features,
    guidance,
    anomalies,
    anomaly_events,
    detection,
    models,
    verification,
    weather_alerts,
    weather_alert_backtest,
    alerts,
    health,
    system,
    benchmarks,
    metric_history,
    metrics,
    events,
    docs,
    pages,
)


def utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    settings: Settings,
    require_access: Callable[..., Any] | None = None,
    clock: Callable[[], datetime] = utc_now,
    require_writer: Callable[..., str] = current_user,
) -> FastAPI:
    """Create the API for the store of `settings`. The store is opened when the app starts.

    Args:
        settings: where the store, the job folders and the model registry are.
        require_access: FastAPI dependency of every route, including the documentation, except for that of own
            stations, which have tokens; raises to deny access.
        clock: returns the current time in UTC.
        require_writer: FastAPI dependency of every route that changes data; returns the user name or raises.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.store = open_store(settings.store_url)
        app.state.event_stream = EventStream(app.state.store, settings, clock)
        app.state.record_publisher = RecordPublisher(settings, clock)
        yield
        await app.state.record_publisher.close()
        await app.state.event_stream.close()
        app.state.store.dispose()

    app = FastAPI(
        title="Weatherglass",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        # FastAPI's own routes need no login, and its pages load scripts from the internet; see routes/docs.py.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.clock = clock
    app.state.requests = RequestMetrics(settings)
    app.state.cached_throughput = None
    app.state.has_login = False
    app.state.station_auth = StationAuthenticator(settings)
    problems.register_handlers(app)
    # The middleware added last runs first.
    app.add_middleware(ETagMiddleware)
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(RequestMetricsMiddleware, requests=app.state.requests)
    access = [Depends(require_access)] if require_access else []
    for module in ROUTE_MODULES:
        app.include_router(module.router, dependencies=access)
    # Not `dependency_overrides`: with overrides, FastAPI resolves the dependencies of a route again at each request.
    for module in (anomalies, anomaly_events, alerts, weather_alerts):
        app.include_router(module.write_routes(require_writer), dependencies=access)
    app.include_router(publish_observations.router)
    return app

"""The app, put together."""

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
from weatherglass.api.etag import EntityTags
from weatherglass.api.event_stream import EventStream
from weatherglass.api.routes import (
    alerts,
    anomalies,
    detection,
    docs,
    events,
    features,
    health,
    history,
    metric_history,
    metrics,
    models,
    observations,
    predictions,
    stations,
    system,
    verification,
)
from weatherglass.api.routes.metrics import Measured, Requests
from weatherglass.api.security_headers import SecurityHeaders
from weatherglass.settings import Settings
from weatherglass.store.engine import open_store

DESCRIPTION = """\
What weather stations measure, what the next 24 hours bring, and which readings cannot be trusted.

Times are ISO 8601 in UTC. Units: °C, %, hPa (station pressure), m/s, and degrees from which the wind blows. A missing
number is `null`. Every error is a problem document (RFC 9457, `application/problem+json`).
"""

PARTS = (
    stations,
    predictions,
    history,
    observations,
    features,
    anomalies,
    detection,
    models,
    verification,
    alerts,
    health,
    system,
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
    guard: Callable[..., Any] | None = None,
    clock: Callable[[], datetime] = utc_now,
    writer: Callable[..., str] = current_user,
) -> FastAPI:
    """The API over the store of `settings`; the store is opened when the app starts, not before.

    Args:
        guard: a FastAPI dependency in front of every route, documentation included, that raises for who may not pass.
        clock: tells now, in UTC.
        writer: a FastAPI dependency in front of every change: the user's name, or raises for who may not.
    """

    @asynccontextmanager
    async def with_store(app: FastAPI) -> AsyncIterator[None]:
        app.state.store = open_store(settings.store_url)
        app.state.feed = EventStream(app.state.store, settings, clock)
        yield
        await app.state.feed.close()
        app.state.store.dispose()

    app = FastAPI(
        title="Weatherglass",
        version="1",
        description=DESCRIPTION,
        lifespan=with_store,
        dependencies=[Depends(guard)] if guard else [],
        # Both are routes of our own: FastAPI's are outside the guard, and its pages load scripts from the internet.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.clock = clock
    app.state.requests = Requests(settings)
    app.state.long_flow = None
    problems.handle(app)
    # The last added is the outermost.
    app.add_middleware(EntityTags)
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Measured, requests=app.state.requests)
    for part in PARTS:
        app.include_router(part.router)
    # Given to them as they are made: an override would have FastAPI examine every dependency anew at each request.
    for part in (anomalies, alerts):
        app.include_router(part.changes(writer))
    return app

"""The app, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import Depends, FastAPI

from plugins.api import anomalies, docs, health, observations, predictions, problems, stations
from plugins.api.headers import SecurityHeaders
from weatherglass.settings import Settings
from weatherglass.store.engine import open_store

DESCRIPTION = """\
What weather stations measure, what the next 24 hours bring, and which readings cannot be trusted.

Times are ISO 8601 in UTC. Units: °C, %, hPa (station pressure), m/s, and degrees from which the wind blows. A missing
number is `null`. Every error is a problem document (RFC 9457, `application/problem+json`).
"""


def utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    settings: Settings, guard: Callable[..., Any] | None = None, clock: Callable[[], datetime] = utc_now
) -> FastAPI:
    """The API over the store of `settings`; the store is opened when the app starts, not before.

    Args:
        guard: a FastAPI dependency in front of every route, documentation included, that raises for who may not pass.
        clock: tells now, in UTC.
    """

    @asynccontextmanager
    async def with_store(app: FastAPI) -> AsyncIterator[None]:
        app.state.store = open_store(settings.store_url)
        yield
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
    problems.handle(app)
    app.add_middleware(SecurityHeaders)
    for part in (stations, predictions, anomalies, observations, health, docs):
        app.include_router(part.router)
    return app

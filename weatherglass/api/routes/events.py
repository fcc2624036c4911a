"""`GET /events`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from weatherglass.api.dependencies import NowDep, to_utc
from weatherglass.api.problems import error_responses

router = APIRouter(tags=["events"])

RETRY_MS = 2000
PING_SECONDS = 15


async def _admit(request: Request) -> AsyncIterator[None]:
    """Counts the client of a request until its response ends."""
    with request.app.state.event_stream.admit(getattr(request.state, "user", "")):
        yield


@router.get(
    "/events",
    summary="Stream of new predictions, anomalies and alerts",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "Server-sent events.",
            "content": {
                "text/event-stream": {
                    "schema": {
                        "type": "string",
                        "examples": [
                            'id: 2026-01-05T12:15:04.120000Z\nevent: prediction\ndata: {"station_id": "new-york", …}\n'
                        ],
                    }
                }
            },
        },
        **error_responses(429),
    },
)
async def events(
    request: Request,
    now: NowDep,
    _admitted: Annotated[None, Depends(_admit)],
    last_event_id: Annotated[
        str | None, Header(description="The last `id` received; the stream starts with the events since then.")
    ] = None,
) -> EventSourceResponse:
    """Server-sent events with JSON `data`, sent within about a second after storage.

    `prediction`: a new or updated prediction of a station. `anomaly`: an anomaly, as in `/anomalies`. `alert`: an alert
    was raised or resolved. `store`: the store became unavailable (`away`) or available again (`back`). Comments keep an
    idle connection open. A client that reconnects within an hour with `Last-Event-ID`, as browsers do, receives the
    events that it missed.
    """
    return EventSourceResponse(
        _event_stream(request, _parse_event_id(last_event_id), now),
        ping=PING_SECONDS,
        headers={"Cache-Control": "no-store"},
    )


async def _event_stream(request: Request, since: datetime | None, now: datetime) -> AsyncIterator[ServerSentEvent]:
    async with request.app.state.event_stream.subscribe(since) as queue:
        yield ServerSentEvent(event="hello", data=json.dumps({"at": now.isoformat()}), retry=RETRY_MS)
        while (event := await queue.get()) is not None:
            yield ServerSentEvent(json.dumps(event.data, ensure_ascii=False), event=event.kind, id=event.id)


def _parse_event_id(last_event_id: str | None) -> datetime | None:
    """The time in an event id; None if there is no id or it is not one of this API."""
    try:
        time = datetime.fromisoformat(last_event_id or "")
        return to_utc(time) if time.tzinfo else None
    except ValueError:
        return None

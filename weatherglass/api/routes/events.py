"""`GET /events`"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from weatherglass.api.dependencies import Now

router = APIRouter(tags=["events"])

RETRY_MS = 2000
PING_SECONDS = 15


@router.get(
    "/events",
    summary="What is new, as it comes",
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
        }
    },
)
async def events(
    request: Request,
    now: Now,
    last_event_id: Annotated[
        str | None, Header(description="The last `id` seen: what came since is told first.")
    ] = None,
) -> EventSourceResponse:
    """Server-sent events, a second after the store has them; each with JSON in `data`.

    `prediction`: a new or revised prediction of a station. `anomaly`: a flagged reading, as in `/anomalies`. `alert`:
    one raised or resolved. `store`: the store went `away` or came `back`. A comment keeps an idle connection open.
    A client that comes back within an hour with `Last-Event-ID`, as browsers do, is told what it missed.
    """
    return EventSourceResponse(
        _told(request, _time(last_event_id), now), ping=PING_SECONDS, headers={"Cache-Control": "no-store"}
    )


async def _told(request: Request, since: datetime | None, now: datetime) -> AsyncIterator[ServerSentEvent]:
    async with request.app.state.feed.listen(since) as queue:
        yield ServerSentEvent(event="hello", data=json.dumps({"at": now.isoformat()}), retry=RETRY_MS)
        while (event := await queue.get()) is not None:
            yield ServerSentEvent(json.dumps(event.data, ensure_ascii=False), event=event.kind, id=event.id)


def _time(last_event_id: str | None) -> datetime | None:
    """The time in an id of ours; None without one, or where it is somebody else's."""
    try:
        time = datetime.fromisoformat(last_event_id or "")
    except ValueError:
        return None
    return time if time.tzinfo else None

"""What is new in the store, told to everybody who listens: one look a second however many they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.api.routes.anomalies import answers
from weatherglass.records import iso
from weatherglass.settings import Settings
from weatherglass.store.alert_log import listed
from weatherglass.store.throughput import newest_stored, stored_since

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
WAITING_EVENTS = 1000
"""A listener that is further behind than this is let go; it comes back and asks for the present state."""
MOST_AT_ONCE = 500
REPLAYED = timedelta(hours=1)
"""A listener that comes back within this time is told what it missed."""


@dataclass(frozen=True)
class StreamEvent:
    """`kind`: `prediction`, `anomaly`, `alert` or `store`; `id`: the time of storing, where to go on after a break."""

    kind: str
    id: str | None
    data: dict[str, Any]


Alerts = dict[int, tuple[str, bool]]
"""Severity of each alert, and whether it is open, by its number."""


class EventStream:
    """Looks into the store while anybody listens."""

    def __init__(self, store: Engine, settings: Settings, clock: Callable[[], datetime]):
        self._store, self._settings, self._clock = store, settings, clock
        self._listeners: set[asyncio.Queue[StreamEvent | None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._stored: datetime | None = None
        self._known: Alerts = {}

    @asynccontextmanager
    async def listen(self, since: datetime | None = None) -> AsyncIterator[asyncio.Queue[StreamEvent | None]]:
        """A queue of events from now on, or from `since`; None in it means that the listener was too slow."""
        queue: asyncio.Queue[StreamEvent | None] = asyncio.Queue(WAITING_EVENTS)
        if since is not None and self._clock() - since <= REPLAYED:
            missed, _ = await asyncio.to_thread(self._predictions, since)
            for event in missed[-WAITING_EVENTS // 2 :]:
                queue.put_nowait(event)
        self._listeners.add(queue)
        try:
            await self._begin_to_look()
            yield queue
        finally:
            self._listeners.discard(queue)

    async def _begin_to_look(self) -> None:
        """Start the one look, if it is not under way; of listeners that come together the first one does."""
        async with self._starting:
            if self._looking is None or self._looking.done():
                # What is stored from here on is told, so the present must be known before the listener hears a word.
                with suppress(SQLAlchemyError):
                    self._stored, self._known = await asyncio.to_thread(self._present)
                self._looking = asyncio.create_task(self._look())

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    async def _look(self) -> None:
        """Until nobody listens any more."""
        away = False
        while self._listeners:
            try:
                if self._stored is None:
                    present = await asyncio.to_thread(self._present)
                    self._stored, self._known = present
                events, self._stored = await asyncio.to_thread(self._predictions, self._stored)
                raised, self._known = await asyncio.to_thread(self._alerts, self._known)
                events += raised
                if away:
                    events.append(StreamEvent("store", None, {"state": "back"}))
                away = False
            except SQLAlchemyError as error:
                events = [] if away else [StreamEvent("store", None, {"state": "away"})]
                away = True
                log.warning("the feed cannot read the store: %s", str(getattr(error, "orig", None) or error))
            for event in events:
                self._tell(event)
            await asyncio.sleep(LOOK_SECONDS)

    def _tell(self, event: StreamEvent) -> None:
        for queue in list(self._listeners):
            if queue.qsize() >= WAITING_EVENTS - 1:
                self._listeners.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    def _present(self) -> tuple[datetime, Alerts]:
        with self._store.connect() as connection:
            newest = newest_stored(connection) or datetime(1970, 1, 1, tzinfo=UTC)
        return newest, self._alerts({})[1]

    def _predictions(self, after: datetime) -> tuple[list[StreamEvent], datetime]:
        """Events for what was stored later, and the time up to which that is."""
        with self._store.connect() as connection:
            rows = stored_since(connection, after, MOST_AT_ONCE)
            flagged = answers(connection, [row for row in rows if row.is_anomaly], self._settings)
        if len(rows) == MOST_AT_ONCE and rows[0].stored_at != rows[-1].stored_at:
            # What one transaction stored has one time; the rest of it comes with the next look.
            rows = [row for row in rows if row.stored_at != rows[-1].stored_at]
        by_id = {flag.id: flag for flag in flagged}
        events = []
        for row in rows:
            said = {
                "station_id": row.station_id,
                "timestamp": iso(row.timestamp),
                "stored_at": iso(row.stored_at),
                "model_version": row.model_version,
                "is_anomaly": bool(row.failed),
            }
            events.append(StreamEvent("prediction", iso_exact(row.stored_at), said))
            if row.id in by_id:
                events.append(StreamEvent("anomaly", iso_exact(row.stored_at), by_id[row.id].model_dump(mode="json")))
        return events, rows[-1].stored_at if rows else after

    def _alerts(self, known: Alerts) -> tuple[list[StreamEvent], Alerts]:
        """Alerts raised or resolved since the last look."""
        with self._store.connect() as connection:
            rows = listed(connection, 100)
        now = {row.id: (row.severity, row.resolved_at is None) for row in rows}
        events = [
            StreamEvent(
                "alert",
                None,
                {
                    "id": row.id,
                    "rule": row.rule,
                    "subject": row.subject,
                    "severity": row.severity,
                    "since": iso(row.since),
                    "open": row.resolved_at is None,
                    "words": row.words,
                },
            )
            for row in rows
            if known.get(row.id) != now[row.id] and (row.id in known or row.resolved_at is None)
        ]
        return events, now


def iso_exact(time: datetime) -> str:
    """With microseconds, as the store keeps them."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

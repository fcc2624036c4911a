"""Sends new predictions, anomalies and alerts to all clients of `/events`, with one poll of the store per second."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.api.problems import TOO_MANY_REQUESTS, Problem
from weatherglass.api.routes.anomalies import anomaly_items
from weatherglass.formatting import first_line
from weatherglass.records import iso
from weatherglass.settings import Settings
from weatherglass.store.alert_queries import list_alerts
from weatherglass.store.throughput import last_stored_at, stored_since

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
QUEUE_SIZE = 1000
"""A subscriber whose queue is full is disconnected; it reconnects and requests the current state."""
BATCH_SIZE = 500
RETRY_SECONDS = 60
REPLAY_WINDOW = timedelta(hours=1)
"""A subscriber that reconnects within this time receives the predictions that it missed."""
MAX_SUBSCRIBERS = 500
MAX_SUBSCRIBERS_PER_USER = 30
"""Each open page is a subscriber."""


@dataclass(frozen=True)
class StreamEvent:
    """A server-sent event.

    `kind` is `prediction`, `anomaly`, `alert` or `store`; `id` is the time of storage, from which a client can resume.
    """

    kind: str
    id: str | None
    data: dict[str, Any]


AlertStates = dict[int, tuple[str, bool]]
"""Severity of each alert, and whether it is open, by alert id."""


class EventStream:
    """Polls the store while there are subscribers and puts new events into the queue of each."""

    def __init__(self, store: Engine, settings: Settings, clock: Callable[[], datetime]):
        self._store, self._settings, self._clock = store, settings, clock
        self._subscribers: set[asyncio.Queue[StreamEvent | None]] = set()
        self._admitted: Counter[str] = Counter()
        """Subscribers, and clients that are about to subscribe, by user."""
        self._poll_task: asyncio.Task[None] | None = None
        self._start_lock = asyncio.Lock()
        self._polled_until: datetime | None = None
        self._alert_states: AlertStates = {}

    @contextmanager
    def admit(self, user: str) -> Iterator[None]:
        """Count a client while it is connected.

        Raises:
            Problem: `too_many_requests` if the user, or all users together, have too many subscribers.
        """
        if self._admitted[user] >= MAX_SUBSCRIBERS_PER_USER or self._admitted.total() >= MAX_SUBSCRIBERS:
            detail = f"Too many event streams are open; {MAX_SUBSCRIBERS_PER_USER} are allowed for each user."
            raise Problem(TOO_MANY_REQUESTS, detail, {"Retry-After": str(RETRY_SECONDS)})
        self._admitted[user] += 1
        try:
            yield
        finally:
            self._admitted[user] -= 1
            self._admitted += Counter()  # removes users without subscribers

    @asynccontextmanager
    async def subscribe(self, since: datetime | None = None) -> AsyncIterator[asyncio.Queue[StreamEvent | None]]:
        """A queue of events from now on, or from `since`. None in the queue means that the subscriber is too slow."""
        queue: asyncio.Queue[StreamEvent | None] = asyncio.Queue(QUEUE_SIZE)
        if since is not None and self._clock() - since <= REPLAY_WINDOW:
            missed, _ = await asyncio.to_thread(self._prediction_events, since)
            for event in missed[-QUEUE_SIZE // 2 :]:
                queue.put_nowait(event)
        self._subscribers.add(queue)
        try:
            await self._start_polling()
            yield queue
        finally:
            self._subscribers.discard(queue)

    async def _start_polling(self) -> None:
        """Start the poll task unless it is running. The lock makes concurrent subscribers share one task."""
        async with self._start_lock:
            if self._poll_task is None or self._poll_task.done():
                # Read the current state first, so that everything stored after the subscription becomes an event.
                with suppress(SQLAlchemyError):
                    self._polled_until, self._alert_states = await asyncio.to_thread(self._current_state)
                self._poll_task = asyncio.create_task(self._poll())

    async def close(self) -> None:
        if self._poll_task is not None:
            self._poll_task.cancel()
            with suppress(asyncio.CancelledError):
                await self._poll_task

    async def _poll(self) -> None:
        """Poll until there are no subscribers."""
        unavailable = False
        while self._subscribers:
            try:
                if self._polled_until is None:
                    state = await asyncio.to_thread(self._current_state)
                    self._polled_until, self._alert_states = state
                events, self._polled_until = await asyncio.to_thread(self._prediction_events, self._polled_until)
                alert_events, self._alert_states = await asyncio.to_thread(self._alert_events, self._alert_states)
                events += alert_events
                if unavailable:
                    events.append(StreamEvent("store", None, {"state": "back"}))
                unavailable = False
            except SQLAlchemyError as error:
                events = [] if unavailable else [StreamEvent("store", None, {"state": "away"})]
                unavailable = True
                log.warning("Cannot read the store for /events: %s", first_line(error))
            for event in events:
                self._publish(event)
            await asyncio.sleep(POLL_SECONDS)

    def _publish(self, event: StreamEvent) -> None:
        for queue in list(self._subscribers):
            if queue.qsize() >= QUEUE_SIZE - 1:
                self._subscribers.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    def _current_state(self) -> tuple[datetime, AlertStates]:
        with self._store.connect() as connection:
            newest = last_stored_at(connection) or datetime(1970, 1, 1, tzinfo=UTC)
        return newest, self._alert_events({})[1]

    def _prediction_events(self, after: datetime) -> tuple[list[StreamEvent], datetime]:
        """Events for predictions stored after a time, and the time up to which they are complete."""
        with self._store.connect() as connection:
            rows = stored_since(connection, after, BATCH_SIZE)
            anomalies = anomaly_items(connection, [row for row in rows if row.is_anomaly], self._settings)
        if len(rows) == BATCH_SIZE and rows[0].stored_at != rows[-1].stored_at:
            # All rows of a transaction have the same time. If the batch may end within one, leave it to the next poll.
            rows = [row for row in rows if row.stored_at != rows[-1].stored_at]
        anomalies_by_id = {anomaly.id: anomaly for anomaly in anomalies}
        events = []
        for row in rows:
            event_id = iso_microseconds(row.stored_at)
            prediction = {
                "station_id": row.station_id,
                "timestamp": iso(row.timestamp),
                "stored_at": iso(row.stored_at),
                "model_version": row.model_version,
                "is_anomaly": bool(row.failed),
            }
            events.append(StreamEvent("prediction", event_id, prediction))
            if row.id in anomalies_by_id:
                events.append(StreamEvent("anomaly", event_id, anomalies_by_id[row.id].model_dump(mode="json")))
        return events, rows[-1].stored_at if rows else after

    def _alert_events(self, known: AlertStates) -> tuple[list[StreamEvent], AlertStates]:
        """Events for alerts raised or resolved since the last poll, and the current states."""
        with self._store.connect() as connection:
            rows = list_alerts(connection, 100)
        current = {row.id: (row.severity, row.resolved_at is None) for row in rows}
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
                    "message": row.message,
                },
            )
            for row in rows
            if known.get(row.id) != current[row.id] and (row.id in known or row.resolved_at is None)
        ]
        return events, current


def iso_microseconds(time: datetime) -> str:
    """ISO 8601 in UTC with microseconds, the precision of the store."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

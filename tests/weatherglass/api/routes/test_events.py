"""Server-sent events: delivery to all subscribers, and replay after a reconnect."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import Engine, text

from tests.waiting import until
from tests.weatherglass.api.serving import serving
from tests.weatherglass.store.samples import NOON, a_prediction
from weatherglass.api.app import create_app
from weatherglass.api.event_stream import (
    MAX_SUBSCRIBERS,
    MAX_SUBSCRIBERS_PER_USER,
    QUEUE_SIZE,
    AlertStates,
    EventStream,
    StreamEvent,
)
from weatherglass.api.problems import Problem
from weatherglass.settings import Settings
from weatherglass.store import alerts, predictions

pytestmark = pytest.mark.timeout(120)

Queue = asyncio.Queue[StreamEvent | None]


@contextmanager
def subscribed(address: str, **headers: str) -> Iterator[Iterator[dict]]:  # type: ignore[type-arg]
    """The events after the initial `hello`."""

    def parse(lines: Iterator[str]) -> Iterator[dict]:  # type: ignore[type-arg]
        event: dict = {}  # type: ignore[type-arg]
        for line in lines:
            name, _, value = line.partition(": ")
            if name:
                event[name] = value
            elif event:
                if "data" in event:
                    yield {**event, "data": json.loads(event["data"])}
                event = {}

    with httpx.stream("GET", f"{address}/events", headers=headers, timeout=60) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = parse(response.iter_lines())
        assert next(events)["event"] == "hello"
        yield events


@pytest.fixture
def address(settings: Settings, store: Engine) -> Iterator[str]:
    with serving(create_app(settings)) as address:
        yield address


def save(store: Engine, minutes: int, *failed: str) -> None:
    with store.begin() as connection:
        prediction = a_prediction("new-york", NOON + timedelta(minutes=minutes), failed)
        predictions.save(connection, [prediction], datetime.now(UTC))


def test_new_records_are_sent_to_all_subscribers_and_after_a_reconnect(address: str, store: Engine) -> None:
    with subscribed(address) as first, subscribed(address) as second:
        save(store, 15, "step")
        for events in (first, second):
            prediction, anomaly = next(events), next(events)
            assert (prediction["event"], anomaly["event"]) == ("prediction", "anomaly")
            assert prediction["data"]["timestamp"] == anomaly["data"]["timestamp"] == "2026-01-05T12:30:00Z"
            assert (prediction["data"]["is_anomaly"], anomaly["data"]["kinds"]) == (True, ["step"])
        with store.begin() as connection:
            alert = alerts.Alert("drift", "pressure", alerts.Severity.CRITICAL, "pressure has moved")
            alerts.raise_alert(connection, alert, datetime.now(UTC))
        raised = next(first)
        assert (raised["event"], raised["data"]["message"], raised["data"]["open"]) == (
            "alert",
            "pressure has moved",
            True,
        )
    save(store, 30)
    with subscribed(address, **{"Last-Event-ID": anomaly["id"]}) as events:
        missed = next(events)
        assert (missed["event"], missed["data"]["timestamp"]) == ("prediction", "2026-01-05T12:45:00Z")


def test_store_outage_sends_away_and_back(address: str, store: Engine) -> None:
    with subscribed(address) as events:
        with store.begin() as connection:
            connection.execute(text("ALTER TABLE predictions RENAME TO predictions_gone"))
        assert next(events)["data"] == {"state": "away"}
        with store.begin() as connection:
            connection.execute(text("ALTER TABLE predictions_gone RENAME TO predictions"))
        assert next(events)["data"] == {"state": "back"}


@pytest.mark.parametrize(
    "invalid", ["4711", "2026-01-05T12:00:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "x" * 5000]
)
def test_an_invalid_last_event_id_is_ignored(address: str, store: Engine, invalid: str) -> None:
    with subscribed(address, **{"Last-Event-ID": invalid}) as events:
        save(store, 15)
        assert next(events)["data"]["timestamp"] == "2026-01-05T12:30:00Z"


def test_subscribers_of_a_user_are_limited_until_one_disconnects(address: str, store: Engine) -> None:
    with ExitStack() as first, ExitStack() as others:
        first.enter_context(subscribed(address))
        for _ in range(MAX_SUBSCRIBERS_PER_USER - 1):
            others.enter_context(subscribed(address))
        refused = httpx.get(f"{address}/events", timeout=60)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert int(refused.headers["retry-after"]) > 0
        first.close()

        def admitted() -> bool:
            with httpx.stream("GET", f"{address}/events", timeout=60) as response:
                return response.status_code == 200

        until("a place for a subscriber", admitted)


def test_users_have_separate_limits_below_the_total(store: Engine, settings: Settings) -> None:
    stream = EventStream(store, settings, lambda: datetime.now(UTC))
    with ExitStack() as stack:
        for number in range(MAX_SUBSCRIBERS):
            stack.enter_context(stream.admit(f"user {number // MAX_SUBSCRIBERS_PER_USER}"))
        with pytest.raises(Problem) as refused, stream.admit("another user"):
            pass
        assert refused.value.kind.status == 429
    with stream.admit("another user"):
        pass


class BlockedEventStream(EventStream):
    """An event stream whose initial read of the store blocks until `released` is set."""

    def __init__(self, store: Engine, settings: Settings):
        super().__init__(store, settings, lambda: datetime.now(UTC))
        self.reads, self.started, self.released = 0, threading.Event(), threading.Event()

    def _current_state(self) -> tuple[datetime, AlertStates]:
        self.reads += 1
        self.started.set()
        assert self.released.wait(60)
        return super()._current_state()

    async def begin_subscriptions(self, count: int) -> list[asyncio.Task[Queue]]:
        """Subscriptions that wait for the initial read."""
        tasks = [asyncio.ensure_future(self.subscribe().__aenter__()) for _ in range(count)]
        assert await asyncio.to_thread(self.started.wait, 60)
        return tasks


def test_concurrent_subscribers_share_one_poll_task(settings: Settings, store: Engine) -> None:
    async def scenario() -> None:
        stream = BlockedEventStream(store, settings)
        subscriptions = await stream.begin_subscriptions(3)
        stream.released.set()
        await asyncio.gather(*subscriptions)
        polls = [task for task in asyncio.all_tasks() if task.get_coro().__name__ == "_poll"]  # type: ignore[union-attr]
        await stream.close()
        assert (stream.reads, len(polls)) == (1, 1)

    asyncio.run(scenario())


def test_a_subscriber_that_is_too_slow_is_disconnected(settings: Settings, store: Engine) -> None:
    async def scenario() -> None:
        stream = EventStream(store, settings, lambda: datetime.now(UTC))
        async with stream.subscribe() as slow, stream.subscribe() as fast:
            for number in range(QUEUE_SIZE):
                stream._publish(StreamEvent("alert", None, {"id": number}))
                fast.get_nowait()
            received = [slow.get_nowait() for _ in range(QUEUE_SIZE)]
            assert [event.data["id"] for event in received[:-1] if event] == list(range(QUEUE_SIZE - 1))
            assert received[-1] is None
            assert stream._subscribers == {fast}
        await stream.close()

    asyncio.run(scenario())


def test_a_subscriber_cancelled_during_the_initial_read_is_removed(settings: Settings, store: Engine) -> None:
    async def scenario() -> None:
        stream = BlockedEventStream(store, settings)
        (subscription,) = await stream.begin_subscriptions(1)
        subscription.cancel()
        stream.released.set()
        with pytest.raises(asyncio.CancelledError):
            await subscription
        assert not stream._subscribers
        async with stream.subscribe() as queue:
            save(store, 15)
            assert (await asyncio.wait_for(queue.get(), 60)).kind == "prediction"  # type: ignore[union-attr]
        await stream.close()

    asyncio.run(scenario())

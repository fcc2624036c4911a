"""Server-sent events: what is stored is told, to everybody, and again to who comes back."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import Engine

from tests.weatherglass.api.serving import serving
from tests.weatherglass.store.samples import NOON, a_prediction
from weatherglass.api.app import create_app
from weatherglass.api.event_stream import Alerts, EventStream, StreamEvent
from weatherglass.settings import Settings
from weatherglass.store import alerts, predictions

pytestmark = pytest.mark.timeout(120)

Queue = asyncio.Queue[StreamEvent | None]


@contextmanager
def listening(address: str, **headers: str) -> Iterator[Iterator[dict]]:  # type: ignore[type-arg]
    """Events of the feed, from its first word on."""

    def events(lines: Iterator[str]) -> Iterator[dict]:  # type: ignore[type-arg]
        event: dict = {}  # type: ignore[type-arg]
        for line in lines:
            name, _, value = line.partition(": ")
            if name:
                event[name] = value
            elif event:
                if "data" in event:
                    yield {**event, "data": json.loads(event["data"])}
                event = {}

    with httpx.stream("GET", f"{address}/events", headers=headers, timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = events(answer.iter_lines())
        assert next(found)["event"] == "hello"
        yield found


@pytest.fixture
def address(settings: Settings, store: Engine) -> Iterator[str]:
    with serving(create_app(settings)) as address:
        yield address


def save(store: Engine, minutes: int, *failed: str) -> None:
    with store.begin() as connection:
        issue = a_prediction("new-york", NOON + timedelta(minutes=minutes), failed)
        predictions.save(connection, [issue], datetime.now(UTC))


def test_what_is_stored_is_told_to_everybody_and_to_who_comes_back(address: str, store: Engine) -> None:
    with listening(address) as first, listening(address) as second:
        save(store, 15, "step")
        for found in (first, second):
            prediction, flag = next(found), next(found)
            assert (prediction["event"], flag["event"]) == ("prediction", "anomaly")
            assert prediction["data"]["timestamp"] == flag["data"]["timestamp"] == "2026-01-05T12:30:00Z"
            assert (prediction["data"]["is_anomaly"], flag["data"]["kinds"]) == (True, ["step"])
        with store.begin() as connection:
            alert = alerts.Alert("drift", "pressure", alerts.Severity.CRITICAL, "pressure has moved")
            alerts.report(connection, alert, datetime.now(UTC))
        raised = next(first)
        assert (raised["event"], raised["data"]["words"], raised["data"]["open"]) == (
            "alert",
            "pressure has moved",
            True,
        )
    save(store, 30)
    with listening(address, **{"Last-Event-ID": flag["id"]}) as back:
        missed = next(back)
        assert (missed["event"], missed["data"]["timestamp"]) == ("prediction", "2026-01-05T12:45:00Z")


def test_a_store_that_goes_and_comes_back_is_told(address: str, store: Engine) -> None:
    from sqlalchemy import text

    with listening(address) as found:
        with store.begin() as connection:
            connection.execute(text("ALTER TABLE predictions RENAME TO predictions_gone"))
        assert next(found)["data"] == {"state": "away"}
        with store.begin() as connection:
            connection.execute(text("ALTER TABLE predictions_gone RENAME TO predictions"))
        assert next(found)["data"] == {"state": "back"}


def test_a_strange_last_event_id_is_passed_over(address: str, store: Engine) -> None:
    with listening(address, **{"Last-Event-ID": "4711"}) as found:
        save(store, 15)
        assert next(found)["data"]["timestamp"] == "2026-01-05T12:30:00Z"


class SlowToLook(EventStream):
    """A feed whose first look at the present takes until `go`."""

    def __init__(self, store: Engine, settings: Settings):
        super().__init__(store, settings, lambda: datetime.now(UTC))
        self.looks, self.began, self.go = 0, threading.Event(), threading.Event()

    def _present(self) -> tuple[datetime, Alerts]:
        self.looks += 1
        self.began.set()
        assert self.go.wait(60)
        return super()._present()

    async def looking_for(self, listeners: int) -> list[asyncio.Task[Queue]]:
        """So many listeners that have come while the first look is still under way."""
        tasks = [asyncio.ensure_future(self.listen().__aenter__()) for _ in range(listeners)]
        assert await asyncio.to_thread(self.began.wait, 60)
        return tasks


def test_listeners_that_come_together_share_one_look(settings: Settings, store: Engine) -> None:
    async def scene() -> None:
        feed = SlowToLook(store, settings)
        coming = await feed.looking_for(3)
        feed.go.set()
        await asyncio.gather(*coming)
        loops = [task for task in asyncio.all_tasks() if task.get_coro().__name__ == "_look"]  # type: ignore[union-attr]
        await feed.close()
        assert (feed.looks, len(loops)) == (1, 1)

    asyncio.run(scene())


def test_a_listener_that_goes_before_the_first_look_is_forgotten(settings: Settings, store: Engine) -> None:
    async def scene() -> None:
        feed = SlowToLook(store, settings)
        (leaving,) = await feed.looking_for(1)
        leaving.cancel()
        feed.go.set()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert not feed._listeners
        async with feed.listen() as queue:
            save(store, 15)
            assert (await asyncio.wait_for(queue.get(), 60)).kind == "prediction"  # type: ignore[union-attr]
        await feed.close()

    asyncio.run(scene())

"""Server-sent events: what is stored is told, to everybody, and again to who comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import Engine

from plugins.api.app import create_app
from tests.plugins.serving import serving
from tests.weatherglass.store.samples import NOON, a_prediction
from weatherglass.settings import Settings
from weatherglass.store import alerts, predictions

pytestmark = pytest.mark.timeout(120)


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

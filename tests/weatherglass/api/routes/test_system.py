"""The flow of the pipeline, over an hour and over a week."""

from __future__ import annotations

from datetime import timedelta

from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.weatherglass.api.conftest import NOW
from tests.weatherglass.store.samples import an_observation
from weatherglass.api.app import create_app
from weatherglass.api.routes.system import LONG_STAYS
from weatherglass.records import Origin
from weatherglass.settings import Settings
from weatherglass.store import observations


def test_a_week_is_read_again_after_a_while_and_an_hour_at_once(settings: Settings, store: Engine) -> None:
    now = [NOW]
    with TestClient(create_app(settings, clock=lambda: now[0])) as client:

        def stored(hours: int) -> int:
            answer = client.get("/system", params={"hours": hours})
            assert answer.status_code == 200
            return sum(step["observations"] for step in answer.json()["flow"])

        before = stored(1), stored(168)
        with store.begin() as connection:
            new = an_observation("kiel", NOW - timedelta(minutes=1))
            observations.save(connection, [new], NOW - timedelta(seconds=1), Origin.REPLAY)
        assert (stored(1), stored(168)) == (before[0] + 1, before[1])
        now[0] += LONG_STAYS
        assert stored(168) == before[1] + 1
        assert client.get("/system", params={"hours": 169}).status_code == 422

"""The publisher of a server while the broker does not respond: other requests are not delayed, and few ones wait."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import anyio.to_thread
import pytest

from producer.own_stations import OwnStationPublisher
from tests.own_station_table import add_own_station
from tests.weatherglass.api.conftest import NOW, clock
from weatherglass.api.problems import BROKER_UNAVAILABLE, Problem
from weatherglass.api.record_publisher import CONCURRENT, MAX_WAITING, RecordPublisher
from weatherglass.records import iso
from weatherglass.settings import Settings
from weatherglass.station_tokens import StationToken

RECORD = {"station_id": "garden", "timestamp": iso(NOW), "temperature": 3.2}
TOKEN = StationToken("garden", ("garden",), "", "", True)


def test_without_a_response_of_the_broker_few_requests_wait_and_no_thread_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(state_dir=tmp_path)
    add_own_station(settings, "garden")
    responds, publishing = threading.Event(), threading.Semaphore(0)

    def wait_for_response(*_: object) -> None:
        publishing.release()
        responds.wait()

    monkeypatch.setattr(OwnStationPublisher, "publish", wait_for_response)

    async def send() -> None:
        publisher = RecordPublisher(settings, clock)
        accepted = [asyncio.create_task(publisher.publish(TOKEN, [RECORD])) for _ in range(CONCURRENT + MAX_WAITING)]
        for _ in range(CONCURRENT):
            await asyncio.to_thread(publishing.acquire)
        with pytest.raises(Problem) as refused:
            await publisher.publish(TOKEN, [RECORD])
        assert refused.value.kind is BROKER_UNAVAILABLE
        assert int((refused.value.headers or {})["Retry-After"]) > 0
        assert anyio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
        responds.set()
        assert [len((await task).accepted) for task in accepted] == [1] * (CONCURRENT + MAX_WAITING)
        assert len((await publisher.publish(TOKEN, [RECORD])).accepted) == 1
        await publisher.close()

    asyncio.run(send())

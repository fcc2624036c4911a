"""Publishing to a real broker: in order of time, each step only after the previous one is acknowledged."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from producer import publish as publishing
from producer.publish import PublishError, open_producer, publish
from producer.topic_bootstrap import bootstrap_topics
from tests.conftest import TestBroker
from tests.producer.topic_reader import reading
from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.settings import Settings
from weatherglass.topics import RAW

pytestmark = pytest.mark.integration
NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)
STATIONS = tuple(f"station-{number}" for number in range(7))
REPLAYED = dict.fromkeys(STATIONS, Origin.REPLAY)


def observation(station_id: str, hour: int) -> Observation:
    return Observation(
        station_id=station_id,
        timestamp=NOW + timedelta(hours=hour),
        temperature=1.5,
        humidity=None,
        pressure=1000,
        wind_speed=None,
        wind_direction=None,
    )


OBSERVATIONS = [observation(name, hour) for hour in range(4) for name in STATIONS]


@pytest.fixture
def bootstrap_servers(broker: TestBroker) -> str:
    bootstrap_topics(broker.settings, log=lambda _: None)
    return broker.bootstrap_servers


def test_each_step_is_on_the_topic_before_the_next_is_sent(bootstrap_servers: str) -> None:
    shuffled = random.Random(3).sample(OBSERVATIONS, len(OBSERVATIONS))
    with reading(bootstrap_servers) as reader, open_producer(Settings(kafka_bootstrap=bootstrap_servers)) as producer:
        for number, step in enumerate(publish(producer, RAW, shuffled, REPLAYED, NOW), start=1):
            assert reader.count() == number * len(STATIONS)  # all records of this step, none of the next
            assert {o.timestamp for o in step} == {NOW + timedelta(hours=number - 1)}
        assert sorted(reader.observations(), key=repr) == sorted(OBSERVATIONS, key=repr)


def test_records_have_key_and_headers_and_keep_their_order(bootstrap_servers: str) -> None:
    with reading(bootstrap_servers) as reader:
        with open_producer(Settings(kafka_bootstrap=bootstrap_servers)) as producer:
            list(publish(producer, RAW, OBSERVATIONS, dict.fromkeys(STATIONS, Origin.OPEN_METEO), NOW))
        records = reader.records()
    times: dict[str, list[datetime]] = {}
    partitions: dict[str, set[int]] = {}
    for record in records:
        value = Observation.from_json(record.value)
        assert record.key == value.station_id.encode()
        headers = dict(record.headers)
        assert headers["source"] == b"open-meteo"
        assert headers["produced_at"] == b"2026-07-14T12:00:00Z"
        assert headers["schema"].startswith(b"observation/")
        times.setdefault(value.station_id, []).append(value.timestamp)
        partitions.setdefault(value.station_id, set()).add(record.partition)
    assert all(series == sorted(series) and len(series) == 4 for series in times.values())
    assert all(len(used) == 1 for used in partitions.values())


def test_after_a_lost_broker_no_later_step_is_sent(fresh_broker: TestBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_producer(fresh_broker.settings) as producer:
        steps = publish(producer, RAW, OBSERVATIONS, REPLAYED, NOW)
        done = next(steps)
        fresh_broker.stop()
        with pytest.raises(PublishError, match="2026-07-14 13:00"):
            next(steps)
    monkeypatch.setattr(publishing, "ACKNOWLEDGEMENT_TIMEOUT_SECONDS", 120.0)  # generous, after its start
    fresh_broker.start()
    with open_producer(fresh_broker.settings) as producer:
        rest = [o for o in OBSERVATIONS if o not in done]
        acknowledged = [o for step in publish(producer, RAW, rest, REPLAYED, NOW) for o in step]
    assert sorted(done + acknowledged, key=repr) == sorted(OBSERVATIONS, key=repr)


def test_the_error_for_a_missing_broker_has_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "ACKNOWLEDGEMENT_TIMEOUT_SECONDS", 2.0)
    with pytest.raises(PublishError, match=r"127\.0\.0\.1:1\b"), open_producer(Settings(kafka_bootstrap="127.0.0.1:1")):
        pass

"""An MQTT broker and the job with its settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.own_stations import OwnStationPublisher
from producer.topic_bootstrap import bootstrap_topics
from tests.conftest import TestBroker, free_ports, make_settings
from tests.mosquitto import Mosquitto
from tests.producer.mqtt.running_job import RunningJob, with_files
from tests.producer.topic_reader import TopicReader
from weatherglass.settings import Settings
from weatherglass.topics import REJECTED


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    server = Mosquitto(tmp_path / "mosquitto", free_ports(1)[0])
    server.start()
    yield server
    server.stop()


@pytest.fixture
def settings(tmp_path: Path, broker: TestBroker, mosquitto: Mosquitto) -> Settings:
    state = tmp_path / "state"
    return with_files(make_settings(state, kafka_bootstrap=broker.bootstrap_servers, mqtt_url=mosquitto.url))


@pytest.fixture
def job(settings: Settings) -> Iterator[RunningJob]:
    publisher = OwnStationPublisher(settings)
    yield RunningJob(settings, publisher)
    publisher.close()


@pytest.fixture
def rejected(broker: TestBroker) -> Iterator[TopicReader]:
    bootstrap_topics(broker.settings, log=lambda _: None)
    reader = TopicReader(broker.bootstrap_servers, REJECTED)
    yield reader
    reader.close()

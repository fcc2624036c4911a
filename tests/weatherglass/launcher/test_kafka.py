"""The embedded broker, as a real process."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient

from tests.conftest import TestBroker, make_settings
from weatherglass.launcher.kafka import Broker, BrokerError
from weatherglass.net import accepts_connections
from weatherglass.topics import HOURS, RAW, TOPICS


def test_missing_jars_raise_with_the_command_that_installs_them(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="make setup"):
        Broker(make_settings(tmp_path, build_dir=tmp_path)).prepare()


@pytest.mark.integration
def test_a_cluster_id_that_begins_with_a_dash_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(bytes=b"\xf8" * 16))
    broker = Broker(make_settings(tmp_path))
    broker.prepare()
    assert "cluster.id=-Pj4" in (broker.folder / "data" / "meta.properties").read_text()


@pytest.mark.integration
def test_messages_survive_a_restart(fresh_broker: TestBroker) -> None:
    admin = KafkaAdminClient(bootstrap_servers=fresh_broker.bootstrap_servers)
    assert {topic.name for topic in TOPICS} <= set(admin.list_topics())
    admin.close()
    producer = KafkaProducer(bootstrap_servers=fresh_broker.bootstrap_servers)
    producer.send(RAW, b"value", key=b"station").get(120)
    producer.close()

    fresh_broker.stop()
    assert not accepts_connections(fresh_broker.bootstrap_servers)
    fresh_broker.start()

    consumer = KafkaConsumer(
        RAW, bootstrap_servers=fresh_broker.bootstrap_servers, auto_offset_reset="earliest", consumer_timeout_ms=120_000
    )
    assert next(iter(consumer)).value == b"value"
    consumer.close()


def test_the_topic_of_hours_is_compacted() -> None:
    (hours,) = [topic for topic in TOPICS if topic.name == HOURS]
    assert hours.broker_config["cleanup.policy"] == "compact,delete"

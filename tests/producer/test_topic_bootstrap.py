"""Topic bootstrap with a real broker: idempotent, no unsafe change, and reports of drift."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.structs import OffsetAndMetadata

from producer import topic_bootstrap
from producer.topic_bootstrap import BootstrapError, BootstrapReport, DriftKind, bootstrap_topics
from tests.conftest import TestBroker
from tests.raw_batches import GZIP, LZ4, NONE, SNAPPY, ZSTD, RawRecord, batch, produce
from weatherglass.consumer.record_reader import RecordReader
from weatherglass.settings import Settings
from weatherglass.topics import FEATURES, RAW, TOPICS, Topic

pytestmark = pytest.mark.integration


@pytest.fixture
def admin(broker: TestBroker) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    yield client
    client.close()


@pytest.fixture
def topic() -> Topic:
    """A topic only for this test."""
    return Topic(f"t-{uuid4().hex[:8]}", partitions=2, retention=timedelta(days=3))


def run(broker: TestBroker, *topics: Topic, groups: dict[str, tuple[str, ...]] | None = None) -> BootstrapReport:
    return bootstrap_topics(broker.settings, lambda _: None, topics, groups or {})


def partitions(admin: KafkaAdminClient, topic: str) -> int:
    (description,) = admin.describe_topics([topic])
    return len(description["partitions"])


def configuration(admin: KafkaAdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    entries = admin.describe_configs([resource], config_filter="all")["topic"][topic]
    return {name: entry["value"] for name, entry in entries.items()}


def test_topics_match_the_table_and_a_second_run_changes_nothing(broker: TestBroker, admin: KafkaAdminClient) -> None:
    bootstrap_topics(broker.settings, log=lambda _: None)
    for topic in TOPICS:
        assert partitions(admin, topic.name) == topic.partitions
        config = configuration(admin, topic.name)
        assert int(config["retention.ms"]) == topic.retention.total_seconds() * 1000
        assert set(config["cleanup.policy"].split(",")) == ({"compact", "delete"} if topic.compacted else {"delete"})
    lines: list[str] = []
    again = bootstrap_topics(broker.settings, log=lines.append)
    assert again == BootstrapReport()
    assert again.unchanged
    assert len(lines) == 1


@pytest.mark.parametrize("compression", [NONE, GZIP, SNAPPY, LZ4, ZSTD])
def test_inference_and_the_sink_can_read_what_other_programs_compress(broker: TestBroker, compression: int) -> None:
    """Their client has libraries for gzip and zstd only."""
    raw = replace(next(topic for topic in TOPICS if topic.name == RAW), name=f"t-{uuid4().hex[:8]}")
    run(broker, raw)
    sent = [RawRecord(f"value {number}".encode() * 100) for number in range(3)]
    produce(broker.bootstrap_servers, raw.name, 0, batch(sent, compression))
    with closing(RecordReader(broker.settings)) as reader:
        tp = TopicPartition(raw.name, 0)
        reader.assign([tp])
        read = [record.value for record in reader.read_to_end(lambda: None)]
        assert (read, reader.undecodable, reader.position(tp)) == ([record.value for record in sent], 0, len(sent))


def test_missing_partitions_are_added(broker: TestBroker, admin: KafkaAdminClient, topic: Topic) -> None:
    run(broker, topic)
    report = run(broker, Topic(topic.name, partitions=5, retention=topic.retention))
    assert partitions(admin, topic.name) == 5
    (change,) = report.changed
    assert topic.name in change
    assert re.findall(r" (\d+)", change) == ["2", "5"]


def test_too_many_partitions_are_reported_as_drift(broker: TestBroker, admin: KafkaAdminClient, topic: Topic) -> None:
    run(broker, topic)
    lines: list[str] = []
    fewer = Topic(topic.name, partitions=1, retention=topic.retention)
    report = bootstrap_topics(broker.settings, lines.append, [fewer], {})
    assert partitions(admin, topic.name) == 2
    (drift,) = report.drift
    assert (drift.kind, drift.name) == (DriftKind.FEWER_PARTITIONS, topic.name)
    (line,) = lines
    assert drift.message in line
    assert not report.changed


def test_the_partitions_of_the_features_topic_are_not_changed(broker: TestBroker, admin: KafkaAdminClient) -> None:
    bootstrap_topics(broker.settings, log=lambda _: None)
    (features,) = (topic for topic in TOPICS if topic.name == FEATURES)
    more = Topic(FEATURES, features.partitions + 4, features.retention, config=features.config)
    report = run(broker, more)
    assert partitions(admin, FEATURES) == features.partitions
    assert [(drift.kind, drift.name) for drift in report.drift] == [(DriftKind.FIXED_PARTITIONS, FEATURES)]


def test_changed_configuration_is_restored_and_reported(
    broker: TestBroker, admin: KafkaAdminClient, topic: Topic
) -> None:
    run(broker, topic)
    wrong = {"retention.ms": "1000", "cleanup.policy": "compact", "compression.type": "lz4"}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, wrong)])
    report = run(broker, topic)
    assert {name: configuration(admin, topic.name)[name] for name in wrong} == topic.broker_config
    (change,) = report.changed
    for name, value in wrong.items():
        assert f"{name} " in change
        assert value in change
        assert topic.broker_config[name] in change


def test_configuration_that_is_not_in_the_table_is_reported_as_drift(
    broker: TestBroker, admin: KafkaAdminClient, topic: Topic
) -> None:
    run(broker, topic)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, {"max.message.bytes": "4000000"})])
    report = run(broker, topic)
    (drift,) = report.drift
    assert (drift.kind, drift.name) == (DriftKind.UNKNOWN_CONFIGURATION, topic.name)
    assert "max.message.bytes=4000000" in drift.message
    assert configuration(admin, topic.name)["max.message.bytes"] == "4000000"


def test_a_new_group_gets_the_offsets_of_the_beginning(
    broker: TestBroker, admin: KafkaAdminClient, topic: Topic
) -> None:
    group = f"g-{uuid4().hex[:8]}"
    run(broker, topic)
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers)
    for number in range(6):
        producer.send(topic.name, partition=number % 2, value=b"x").get(120)
    producer.close()
    run(broker, topic, groups={group: (topic.name,)})
    committed = admin.list_group_offsets([group])[group]
    assert {partition: metadata.offset for partition, metadata in committed.items()} == {
        TopicPartition(topic.name, number): 0 for number in range(2)
    }
    assert run(broker, topic, groups={group: (topic.name,)}).unchanged


def test_the_offsets_of_a_group_are_kept_and_those_of_new_partitions_added(
    broker: TestBroker, admin: KafkaAdminClient, topic: Topic
) -> None:
    group, first = f"g-{uuid4().hex[:8]}", TopicPartition(topic.name, 0)
    run(broker, topic, groups={group: (topic.name,)})
    admin.alter_group_offsets(group, {first: OffsetAndMetadata(7, "", None)})
    wider = Topic(topic.name, partitions=3, retention=topic.retention)
    run(broker, wider, groups={group: (topic.name,)})
    committed = admin.list_group_offsets([group])[group]
    assert committed[first].offset == 7
    assert committed[TopicPartition(topic.name, 2)].offset == 0


def test_offsets_of_a_running_group_are_not_changed(broker: TestBroker, admin: KafkaAdminClient, topic: Topic) -> None:
    group = f"g-{uuid4().hex[:8]}"
    run(broker, topic)
    with closing(KafkaProducer(bootstrap_servers=broker.bootstrap_servers)) as producer:
        producer.send(topic.name, b"value").get(120)
    consumer = KafkaConsumer(
        topic.name,
        bootstrap_servers=broker.bootstrap_servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        # A client that joins before it knows the topic gets no partitions until it refreshes its metadata.
        metadata_max_age_ms=500,
    )
    with closing(consumer):
        # A single poll that ends with a record: kafka-python 3.0.12 loses its assignment after a rejoin if a poll ends
        # just before the response.
        assert consumer.poll(timeout_ms=60_000)
        report = run(broker, topic, groups={group: (topic.name,)})
        assert [(drift.kind, drift.name) for drift in report.drift] == [(DriftKind.GROUP_OFFSETS, group)]
        assert not report.groups
        assert all(metadata.offset < 0 for metadata in admin.list_group_offsets([group])[group].values())
        consumer.poll(timeout_ms=200)
        assert len(consumer.assignment()) == 2


def test_the_error_for_a_missing_broker_has_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_bootstrap, "BROKER_TIMEOUT_SECONDS", 2)
    with pytest.raises(BootstrapError, match=r"127\.0\.0\.1:1\b"):
        bootstrap_topics(Settings(kafka_bootstrap="127.0.0.1:1"), lambda _: None)

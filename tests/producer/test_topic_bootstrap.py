"""Topic bootstrap against a real broker: idempotent, careful, and honest about drift."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from uuid import uuid4

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.structs import OffsetAndMetadata

from producer import topic_bootstrap
from producer.topic_bootstrap import BootstrapError, BootstrapReport, bootstrap_topics
from tests.conftest import TestBroker
from weatherglass.settings import Settings
from weatherglass.topics import FEATURES, TOPICS, Topic

pytestmark = pytest.mark.integration


@pytest.fixture
def admin(broker: TestBroker) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    yield client
    client.close()


@pytest.fixture
def topic() -> Topic:
    """A topic of the test's own."""
    return Topic(f"t-{uuid4().hex[:8]}", partitions=2, retention=timedelta(days=3))


def run(broker: TestBroker, *topics: Topic, groups: dict[str, tuple[str, ...]] | None = None) -> BootstrapReport:
    return bootstrap_topics(broker.settings, lambda _: None, topics, groups or {})


def partitions(admin: KafkaAdminClient, topic: str) -> int:
    (found,) = admin.describe_topics([topic])
    return len(found["partitions"])


def configuration(admin: KafkaAdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    entries = admin.describe_configs([resource], config_filter="all")["topic"][topic]
    return {name: entry["value"] for name, entry in entries.items()}


def test_the_table_becomes_true_and_a_second_run_does_nothing(broker: TestBroker, admin: KafkaAdminClient) -> None:
    bootstrap_topics(broker.settings, say=lambda _: None)
    for topic in TOPICS:
        assert partitions(admin, topic.name) == topic.partitions
        has = configuration(admin, topic.name)
        assert int(has["retention.ms"]) == topic.retention.total_seconds() * 1000
        assert set(has["cleanup.policy"].split(",")) == ({"compact", "delete"} if topic.compacted else {"delete"})
    said: list[str] = []
    again = bootstrap_topics(broker.settings, say=said.append)
    assert again == BootstrapReport()
    assert said == [f"{len(TOPICS)} topics and 3 groups are as they should be"]


def test_partitions_grow(broker: TestBroker, admin: KafkaAdminClient, topic: Topic) -> None:
    run(broker, topic)
    report = run(broker, Topic(topic.name, partitions=5, retention=topic.retention))
    assert partitions(admin, topic.name) == 5
    assert report.changed == [f"{topic.name}: partitions from 2 to 5"]


def test_partitions_never_shrink(broker: TestBroker, admin: KafkaAdminClient, topic: Topic) -> None:
    run(broker, topic)
    said: list[str] = []
    fewer = Topic(topic.name, partitions=1, retention=topic.retention)
    report = bootstrap_topics(broker.settings, said.append, [fewer], {})
    assert partitions(admin, topic.name) == 2
    assert "cannot take partitions away" in report.drift[0]
    assert said == [f"WARNING drift: {report.drift[0]}"]
    assert not report.changed


def test_the_features_keep_their_partitions(broker: TestBroker, admin: KafkaAdminClient) -> None:
    bootstrap_topics(broker.settings, say=lambda _: None)
    (features,) = (topic for topic in TOPICS if topic.name == FEATURES)
    more = Topic(FEATURES, features.partitions + 4, features.retention, config=features.config)
    report = run(broker, more)
    assert partitions(admin, FEATURES) == features.partitions
    assert "migration" in report.drift[0]


def test_changed_configuration_is_put_right_and_said(broker: TestBroker, admin: KafkaAdminClient, topic: Topic) -> None:
    run(broker, topic)
    wrong = {"retention.ms": "1000", "cleanup.policy": "compact"}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, wrong)])
    report = run(broker, topic)
    assert {name: configuration(admin, topic.name)[name] for name in wrong} == topic.broker_config
    (sentence,) = report.changed
    assert "retention.ms from 1000 to 259200000" in sentence
    assert "cleanup.policy from compact to delete" in sentence


def test_configuration_the_table_does_not_know_is_drift(
    broker: TestBroker, admin: KafkaAdminClient, topic: Topic
) -> None:
    run(broker, topic)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, {"max.message.bytes": "4000000"})])
    report = run(broker, topic)
    assert report.drift == [f"{topic.name} has max.message.bytes=4000000, which the table does not know; left as it is"]
    assert configuration(admin, topic.name)["max.message.bytes"] == "4000000"


def test_an_unknown_group_starts_at_the_beginning_and_its_lag_shows(
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
    assert {partition: found.offset for partition, found in committed.items()} == {
        TopicPartition(topic.name, number): 0 for number in range(2)
    }
    assert run(broker, topic, groups={group: (topic.name,)}).nothing_done


def test_offsets_of_a_group_are_kept_and_new_partitions_added(
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


def test_a_running_group_is_left_alone(broker: TestBroker, admin: KafkaAdminClient, topic: Topic) -> None:
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
        # A client that joins before it has heard of the topic is assigned nothing, until it asks again.
        metadata_max_age_ms=500,
    )
    with closing(consumer):
        # One poll, which a record ends: kafka-python 3.0.12 forgets what it is assigned on joining again where a poll
        # ends just before the answer.
        assert consumer.poll(timeout_ms=60_000)
        report = run(broker, topic, groups={group: (topic.name,)})
        assert f"group {group}" in report.drift[0]
        assert not report.groups
        assert all(found.offset < 0 for found in admin.list_group_offsets([group])[group].values())
        consumer.poll(timeout_ms=200)
        assert len(consumer.assignment()) == 2


def test_an_unreachable_broker_is_said_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_bootstrap, "BROKER_SECONDS", 2)
    with pytest.raises(BootstrapError, match=r"no Kafka broker answers at 127\.0\.0\.1:1\b"):
        bootstrap_topics(Settings(kafka_bootstrap="127.0.0.1:1"), lambda _: None)

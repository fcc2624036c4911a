"""Kafka with ZooKeeper: the overlay `docker/zookeeper.yml`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.running import PROBE_STATIONS, Cluster, until
from weatherglass.topics import RAW, TOPICS

CREATE_TOPICS = (
    "from producer.topic_bootstrap import bootstrap_topics; from weatherglass.settings import load_settings;"
    "bootstrap_topics(load_settings())"
)

pytestmark = [pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def kafka(engine: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder: Path = tmp_path_factory.mktemp("zookeeper")
    cluster = Cluster("weatherglass-zookeeper", folder, engine, ("docker/zookeeper.yml",))
    try:
        cluster.build()
        cluster.down("--volumes", "--remove-orphans")
        cluster.up("kafka-broker")
        yield cluster
    finally:
        cluster.close_kafka_shell()
        cluster.down("--volumes", "--remove-orphans")


def test_topics_are_created_and_messages_survive_a_restart(kafka: Cluster) -> None:
    def healthy() -> bool:
        return {one["State"]["Health"]["Status"] for one in kafka.inspect("kafka-controller", "kafka-broker")} == {
            "healthy"
        }

    until("ZooKeeper and the broker to be healthy", healthy)
    output = kafka.compose("run", "--rm", "--no-deps", "jobs", "python", "-c", CREATE_TOPICS)
    assert set(kafka.kafka("topics")) == {topic.name for topic in TOPICS}, output
    kafka.publish_probes()
    before = kafka.records(RAW)
    assert {record.key.decode() for record in before} == set(PROBE_STATIONS)
    for service in ("kafka-broker", "kafka-controller"):
        container = kafka.containers(service)[0]
        kafka.kill(container)
        kafka.start(container)
    kafka.publish_probes()
    after = kafka.records(RAW)
    assert {(r.partition, r.offset, r.value) for r in before} < {(r.partition, r.offset, r.value) for r in after}
    assert len(after) == 2 * len(PROBE_STATIONS)

"""Kafka with ZooKeeper: the overlay `docker/zookeeper.yml`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.running import STATIONS, Cluster, until
from weatherglass.topics import RAW, TOPICS

MAKE_TOPICS = (
    "from producer.topic_bootstrap import bootstrap_topics; from weatherglass.settings import load_settings;"
    "bootstrap_topics(load_settings())"
)

pytestmark = [pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def kafka(engine: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder: Path = tmp_path_factory.mktemp("zookeeper")
    running = Cluster("weatherglass-zookeeper", folder, engine, ("docker/zookeeper.yml",))
    try:
        running.build()
        running.down("--volumes", "--remove-orphans")
        running.up("kafka-broker")
        yield running
    finally:
        running.leave()
        running.down("--volumes", "--remove-orphans")


def test_topics_messages_and_a_restart(kafka: Cluster) -> None:
    def working() -> bool:
        return {one["State"]["Health"]["Status"] for one in kafka.inspect("kafka-controller", "kafka-broker")} == {
            "healthy"
        }

    until("ZooKeeper and the broker to work", working)
    said = kafka.compose("run", "--rm", "--no-deps", "jobs", "python", "-c", MAKE_TOPICS)
    assert set(kafka.kafka("topics")) == {topic.name for topic in TOPICS}, said
    kafka.observe()
    before = kafka.records(RAW)
    assert {record.key.decode() for record in before} == set(STATIONS)
    for service in ("kafka-broker", "kafka-controller"):
        container = kafka.containers(service)[0]
        kafka.kill(container)
        kafka.start(container)
    kafka.observe()
    after = kafka.records(RAW)
    assert {(r.partition, r.offset, r.value) for r in before} < {(r.partition, r.offset, r.value) for r in after}
    assert len(after) == 2 * len(STATIONS)

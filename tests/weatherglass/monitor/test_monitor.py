"""The whole watcher against a real broker, a real store and a real webhook, with faults in them."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata
from sqlalchemy import Engine

from tests.conftest import TestBroker
from tests.waiting import until
from tests.weatherglass.monitor.conftest import Clock
from tests.weatherglass.monitor.receivers import Hook
from weatherglass.alerts import metrics as m
from weatherglass.alerts.health import WATCHER
from weatherglass.alerts.notification import CHANNELS_VARIABLE
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.job import Job
from weatherglass.monitor import kafka_metrics
from weatherglass.monitor.monitor import Monitor
from weatherglass.settings import LOOPBACK, Settings, Source
from weatherglass.store import metric_history
from weatherglass.store.alert_log import listed
from weatherglass.topics import RAW, REJECTED, SPARK_GROUP


class Kafka:
    """Writing to and reading from the broker of the test."""

    def __init__(self, servers: str):
        self.servers = servers

    def write(self, topic: str, count: int, headers: list[tuple[str, bytes]] | None = None) -> None:
        producer = KafkaProducer(bootstrap_servers=self.servers)
        for number in range(count):
            producer.send(topic, value=b"{}", partition=number % 4 if topic == RAW else 0, headers=headers or [])
        producer.flush()
        producer.close()

    def commit(self, offset: int) -> None:
        """The features job has read every partition of the raw topic up to here."""
        partitions = [TopicPartition(RAW, number) for number in range(4)]
        consumer = KafkaConsumer(bootstrap_servers=self.servers, group_id=SPARK_GROUP, enable_auto_commit=False)
        consumer.assign(partitions)
        consumer.commit({partition: OffsetAndMetadata(offset, "", -1) for partition in partitions})
        consumer.close()


@pytest.fixture
def settings(fresh_broker: TestBroker) -> Iterator[Settings]:
    """Those of the broker, so that its state folder is the pipeline's; Ray's head takes connections."""
    with socket.create_server((LOOPBACK, 0)) as head:
        changed = {"source": Source.REPLAY, "ray_address": f"{LOOPBACK}:{head.getsockname()[1]}"}
        yield fresh_broker.settings.model_copy(update=changed)


@pytest.fixture
def watcher(
    settings: Settings, store: Engine, hook: Hook, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Monitor]:
    monkeypatch.setattr(kafka_metrics, "PATIENCE_MS", 60_000)  # a slow machine is not the matter here
    folder = JobFolder(settings.jobs_dir / WATCHER)
    folder.path.mkdir(parents=True)
    channels = {CHANNELS_VARIABLE: json.dumps({"webhook": {"url": hook.url}})}
    watcher = Monitor(settings, Job(folder), channels, clock)
    yield watcher
    watcher.close()


@pytest.mark.integration
def test_a_broker_that_stops_lags_and_rejects(
    fresh_broker: TestBroker, settings: Settings, store: Engine, hook: Hook, clock: Clock, watcher: Monitor
) -> None:
    kafka = Kafka(settings.bootstrap_servers)
    kafka.write(RAW, 40)
    kafka.commit(10)
    began = clock.now
    # Airflow does not run here, which is told too; this test is about the broker.
    ours = {"broker_unreachable", "consumer_behind", "many_rejected"}

    def go(looks: int) -> None:
        for _ in range(looks):
            clock.go()
            watcher.look()

    def told() -> list[tuple[str, str]]:
        return [(status, rule) for status, rule, _ in hook.told() if rule in ours]

    def measured(metric: m.Metric) -> str:
        text = (Path(watcher.job.folder.path) / "metrics.prom").read_text()
        return "\n".join(line for line in text.splitlines() if line.startswith(metric.name))

    go(4)
    assert told() == []
    assert "weatherglass_kafka_up 1" in measured(m.KAFKA_UP)
    assert f'{m.TOPIC_RECORDS.name}{{topic="{RAW}"}} 40' in measured(m.TOPIC_RECORDS)

    # The features job reads no further.
    kafka.write(RAW, 40)
    go(3)
    assert told() == []
    go(6)
    assert told() == [("begun", "consumer_behind")]
    kafka.commit(20)
    go(6)
    assert told()[1:] == [("over", "consumer_behind")]

    # A quarter of what comes cannot be used.
    kafka.write(RAW, 80)
    kafka.commit(40)
    kafka.write(REJECTED, 20, [("reason", b"late")])
    go(2)
    assert f'{m.REJECTED.name}{{reason="late"}} 20' in measured(m.REJECTED)
    assert told()[2:] == [("begun", "many_rejected")]
    go(65)
    assert told()[3:] == [("over", "many_rejected")]

    fresh_broker.stop(signal.SIGKILL)
    go(4)
    assert told()[4:] == [("begun", "broker_unreachable")]
    fresh_broker.start()
    # A broker that comes back may first refuse.
    until("the end of the alert", lambda: go(1) or ("over", "broker_unreachable") in told())

    # What it has found is in the store, its story in its progress, and its figures of every five minutes are kept.
    with store.connect() as connection:
        kept = {(alert.rule, alert.resolved_at is None) for alert in listed(connection, 50) if alert.rule in ours}
        series = metric_history.series(connection, [m.TOPIC_RECORDS.name], began, clock.now)
    assert kept == {(rule, False) for rule in ours}
    grown = series[m.TOPIC_RECORDS.name]
    assert sum(value for _, value in grown[RAW]) >= 80
    story = watcher.job.folder.progress.read_text()
    for words in (
        r"ALERT broker unreachable \(pipeline\), critical",
        "over after",
        r"(1 alert|\d+ alerts) open, the oldest for",
    ):
        assert re.search(words, story)

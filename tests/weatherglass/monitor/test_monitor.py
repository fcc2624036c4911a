"""The monitor with a real broker, store and webhook, in which faults are caused."""

from __future__ import annotations

import json
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
from tests.weatherglass.monitor.receivers import WebhookReceiver
from weatherglass.alerts import metrics as m
from weatherglass.alerts.health import MONITOR
from weatherglass.alerts.notification import CHANNELS_VARIABLE
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.job import Job
from weatherglass.monitor import kafka_metrics
from weatherglass.monitor.monitor import Monitor
from weatherglass.settings import LOOPBACK, Settings, Source
from weatherglass.store import metric_history
from weatherglass.store.alert_queries import list_alerts
from weatherglass.topics import RAW, REJECTED, SPARK_GROUP


class Kafka:
    """Writes to the test broker."""

    def __init__(self, servers: str):
        self.servers = servers

    def write(self, topic: str, count: int) -> None:
        producer = KafkaProducer(bootstrap_servers=self.servers)
        for number in range(count):
            producer.send(topic, value=b"{}", partition=number % 4)
        producer.flush()
        producer.close()

    def reject(self, *reasons: bytes) -> None:
        """Write rejected records in a transaction, as inference does."""
        producer = KafkaProducer(bootstrap_servers=self.servers, transactional_id="writer")
        producer.init_transactions()
        producer.begin_transaction()
        for reason in reasons:
            producer.send(REJECTED, value=b"{}", partition=0, headers=[("reason", reason)] if reason else [])
        producer.commit_transaction()
        producer.close()

    def commit(self, offset: int) -> None:
        """Commit this offset for every partition of the raw topic, as the features job does."""
        partitions = [TopicPartition(RAW, number) for number in range(4)]
        consumer = KafkaConsumer(bootstrap_servers=self.servers, group_id=SPARK_GROUP, enable_auto_commit=False)
        consumer.assign(partitions)
        consumer.commit({partition: OffsetAndMetadata(offset, "", -1) for partition in partitions})
        consumer.close()


@pytest.fixture
def settings(fresh_broker: TestBroker) -> Iterator[Settings]:
    """The broker's settings, with a socket that accepts connections in place of the Ray head."""
    with socket.create_server((LOOPBACK, 0)) as head:
        changed = {"source": Source.REPLAY, "ray_address": f"{LOOPBACK}:{head.getsockname()[1]}"}
        yield fresh_broker.settings.model_copy(update=changed)


@pytest.fixture
def monitor(
    settings: Settings, store: Engine, hook: WebhookReceiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Monitor]:
    monkeypatch.setattr(kafka_metrics, "TIMEOUT_MS", 60_000)  # the test must pass on a slow machine
    folder = JobFolder(settings.jobs_dir / MONITOR)
    folder.path.mkdir(parents=True)
    channels = {CHANNELS_VARIABLE: json.dumps({"webhook": {"url": hook.url}})}
    monitor = Monitor(settings, Job(folder), channels, clock)
    yield monitor
    monitor.close()


@pytest.mark.integration
def test_lag_rejected_records_and_a_stopped_broker_raise_alerts(
    fresh_broker: TestBroker, settings: Settings, store: Engine, hook: WebhookReceiver, clock: Clock, monitor: Monitor
) -> None:
    kafka = Kafka(settings.bootstrap_servers)
    kafka.write(RAW, 40)
    kafka.commit(10)
    start = clock.now
    # Airflow is not running, which raises other alerts.
    rules = {"broker_unreachable", "consumer_behind", "many_rejected"}

    def step(count: int) -> None:
        for _ in range(count):
            clock.advance()
            monitor.run_once()

    def sent() -> list[tuple[str, str]]:
        return [(status, rule) for status, rule, _ in hook.received() if rule in rules]

    def measured(metric: m.Metric) -> str:
        text = (Path(monitor.job.folder.path) / "metrics.prom").read_text()
        return "\n".join(line for line in text.splitlines() if line.startswith(metric.name))

    step(4)
    assert sent() == []
    assert "weatherglass_kafka_up 1" in measured(m.KAFKA_UP)
    assert f'{m.TOPIC_RECORDS.name}{{topic="{RAW}"}} 40' in measured(m.TOPIC_RECORDS)

    # The features job stops reading.
    kafka.write(RAW, 40)
    step(3)
    assert sent() == []
    step(6)
    assert sent() == [("firing", "consumer_behind")]
    kafka.commit(20)
    step(6)
    assert sent()[1:] == [("resolved", "consumer_behind")]

    # A quarter of the observations is rejected.
    kafka.write(RAW, 80)
    kafka.commit(40)
    kafka.reject(*[b"late"] * 20, b"")
    step(2)
    assert f'{m.REJECTED_RECORDS.name}{{reason="late"}} 20' in measured(m.REJECTED_RECORDS)
    assert f'{m.REJECTED_RECORDS.name}{{reason="unknown"}} 1' in measured(m.REJECTED_RECORDS)
    assert sent()[2:] == [("firing", "many_rejected")]
    step(65)
    assert sent()[3:] == [("resolved", "many_rejected")]

    fresh_broker.stop(signal.SIGKILL)
    step(4)
    assert sent()[4:] == [("firing", "broker_unreachable")]
    fresh_broker.start()
    # A restarted broker may refuse requests at first.
    until("the end of the alert", lambda: step(1) or ("resolved", "broker_unreachable") in sent())

    # Alerts and metrics are in the store, and alerts in the progress.
    with store.connect() as connection:
        logged = {
            (alert.rule, alert.resolved_at is None) for alert in list_alerts(connection, 50) if alert.rule in rules
        }
        series = metric_history.series(connection, [m.TOPIC_RECORDS.name], start, clock.now)
    assert logged == {(rule, False) for rule in rules}
    increases = series[m.TOPIC_RECORDS.name]
    assert sum(value for _, value in increases[RAW]) >= 80
    progress = [json.loads(line) for line in monitor.job.folder.progress.read_text().splitlines()]
    for prefix in ("ALERT broker unreachable", "RESOLVED"):
        assert any(line["message"].startswith(prefix) for line in progress)
    assert any(line["open"] > 0 for line in progress)

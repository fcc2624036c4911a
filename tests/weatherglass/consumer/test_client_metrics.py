"""Bytes of clients against bytes that are recorded as the client's connections do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kafka.metrics import Metrics
from kafka.net.metrics import KafkaConnectionMetrics

from weatherglass.consumer.client_metrics import byte_rates

SECONDS = 30.0
"""The client divides by at least this time."""


def client(prefix: str, **bytes_of_nodes: tuple[float, float]) -> Any:
    """A client with these bytes received from and sent to each node."""
    metrics = Metrics()
    for node, (received, sent) in bytes_of_nodes.items():
        connection = KafkaConnectionMetrics(metrics, prefix, node)
        connection.bytes_received.record(received)
        connection.bytes_sent.record(sent)
    return SimpleNamespace(metrics=lambda raw: metrics.metrics if raw else {})


def test_the_bytes_of_all_connections_of_all_clients_are_added() -> None:
    consumer = client("consumer", a=(6000.0, 600.0), b=(3000.0, 300.0))
    producer = client("producer", a=(30.0, 9000.0))
    found = byte_rates([consumer, producer])
    assert found == pytest.approx({"received": 9030 / SECONDS, "sent": 9900 / SECONDS}, rel=0.2)


def test_without_a_connection_there_are_no_bytes() -> None:
    assert byte_rates([]) == byte_rates([client("producer")]) == {"received": 0.0, "sent": 0.0}

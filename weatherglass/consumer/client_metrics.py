"""Network traffic of Kafka clients, from their own metrics."""

from __future__ import annotations

from collections.abc import Iterable

from kafka import KafkaConsumer, KafkaProducer

BYTE_RATES = {"received": "incoming-byte-rate", "sent": "outgoing-byte-rate"}
"""Kafka's names of the metrics, the same in Python and Java."""
GROUPS = ("consumer-metrics", "producer-metrics")
"""The groups with the sums of all connections of a client."""


def byte_rates(clients: Iterable[KafkaConsumer | KafkaProducer]) -> dict[str, float]:
    """Bytes per second that the clients `received` and `sent`, on average over the last 30 to 60 seconds."""
    found = dict.fromkeys(BYTE_RATES, 0.0)
    for client in clients:
        for name, metric in client.metrics(raw=True).items():
            for direction, wanted in BYTE_RATES.items():
                if name.group in GROUPS and name.name == wanted:
                    found[direction] += metric.value()
    return {direction: round(rate, 1) for direction, rate in found.items()}

"""The topics and consumer groups, each once. `bootstrap_topics` makes the broker agree with this table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

RAW = "weather-raw"
FEATURES = "weather-features"
HOURS = "weather-hours"
PREDICTIONS = "weather-predictions"
SHADOW = "weather-shadow"
"""Predictions of the version that does not serve a station, on the same inputs as those that serve."""
REJECTED = "weather-rejected"

SPARK_GROUP = "spark-weather-processors"
"""Spark keeps its offsets in the checkpoint; its listener commits them to this group for others to see."""
INFERENCE_GROUP = "ray-ml-inference"
STORE_GROUP = "dashboard-consumers"

REPLICATION = 1
"""One broker, one copy; more brokers want more."""


@dataclass(frozen=True)
class Topic:
    """What a topic must be on the broker.

    `config` holds further topic configuration in Kafka's own names and string values.
    """

    name: str
    partitions: int
    retention: timedelta
    compacted: bool = False
    config: dict[str, str] = field(default_factory=dict)

    @property
    def broker_config(self) -> dict[str, str]:
        """The topic's configuration in Kafka's names; everything Weatherglass relies on and nothing else."""
        return {
            "cleanup.policy": "compact,delete" if self.compacted else "delete",
            "retention.ms": str(int(self.retention.total_seconds() * 1000)),
            **self.config,
        }


TOPICS: tuple[Topic, ...] = (
    # Stamped by the broker on arrival: future and past are told from that clock, the same at every reading.
    Topic(RAW, partitions=4, retention=timedelta(days=7), config={"message.timestamp.type": "LogAppendTime"}),
    # Update mode writes a window again at every change, so this topic is bounded in bytes too (per partition).
    Topic(FEATURES, partitions=4, retention=timedelta(days=2), config={"retention.bytes": str(2 * 1024**3)}),
    Topic(HOURS, partitions=1, retention=timedelta(days=30), compacted=True),
    Topic(PREDICTIONS, partitions=4, retention=timedelta(days=30)),
    Topic(SHADOW, partitions=4, retention=timedelta(days=7)),
    Topic(REJECTED, partitions=1, retention=timedelta(days=30)),
)

GROUPS: dict[str, tuple[str, ...]] = {
    SPARK_GROUP: (RAW,),
    INFERENCE_GROUP: (FEATURES,),
    STORE_GROUP: (RAW, FEATURES, PREDICTIONS, SHADOW),
}
"""Which topics each consumer group reads."""

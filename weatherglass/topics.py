"""Topics and consumer groups. The DAG `bootstrap_topics` creates and updates the topics of this table.

The names of this module have no prefix. Code that addresses a topic or group uses `Settings.topics`, which adds it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

RAW = "weather-raw"
FEATURES = "weather-features"
HOURS = "weather-hours"
PREDICTIONS = "weather-predictions"
SHADOW = "weather-shadow"
"""Predictions of the model version that does not serve a station, for the same inputs."""
GUIDANCE = "weather-guidance"
"""Runs of weather models, which are stored, and which forecasts use."""
REJECTED = "weather-rejected"

SPARK_GROUP = "spark-weather-processors"
"""Spark keeps its offsets in the checkpoint; its listener also commits them to this group, to make lag visible."""
INFERENCE_GROUP = "ray-ml-inference"
STORE_GROUP = "dashboard-consumers"

MAX_REJECTED_KEY_BYTES, MAX_REJECTED_VALUE_BYTES = 10_000, 1_000_000
"""Bytes of a rejected message that are kept. With the headers they fit into the default limits of Kafka's producer and
broker for one record, 1,048,576 and 1,048,588 bytes. A message that its sender compressed can be much longer."""
TRUNCATED_HEADER, TRUNCATED_KEY_HEADER = "truncated", "truncated_key"
"""Headers of a rejected message whose value or key was too long: the original size in bytes."""


@dataclass(frozen=True)
class Topic:
    """Configuration of a topic.

    `config` contains further topic configuration with Kafka's names and string values.
    """

    name: str
    partitions: int
    retention: timedelta
    compacted: bool = False
    config: dict[str, str] = field(default_factory=dict)
    replicas: int = 1

    @property
    def broker_config(self) -> dict[str, str]:
        """The topic's configuration with Kafka's names; only what Weatherglass relies on."""
        return {
            "cleanup.policy": "compact,delete" if self.compacted else "delete",
            "retention.ms": str(int(self.retention.total_seconds() * 1000)),
            "compression.type": "producer",  # whatever the broker's default: the readers have no lz4 and snappy
            **self.config,
        }


TOPICS: tuple[Topic, ...] = (
    # Timestamps from the broker on arrival: "too early" and "too late" give the same result at every reading.
    # Other programs write this topic too: the broker converts what they compressed with lz4, snappy or zstd to gzip,
    # which all readers can decompress.
    Topic(
        RAW,
        partitions=4,
        retention=timedelta(days=7),
        config={"message.timestamp.type": "LogAppendTime", "compression.type": "gzip"},
    ),
    # Update mode writes a window at every change, so this topic is also limited in bytes (per partition).
    Topic(FEATURES, partitions=4, retention=timedelta(days=2), config={"retention.bytes": str(2 * 1024**3)}),
    Topic(HOURS, partitions=1, retention=timedelta(days=30), compacted=True),
    Topic(PREDICTIONS, partitions=4, retention=timedelta(days=30)),
    Topic(SHADOW, partitions=4, retention=timedelta(days=7)),
    Topic(GUIDANCE, partitions=4, retention=timedelta(days=7)),
    Topic(REJECTED, partitions=1, retention=timedelta(days=30)),
)

GROUPS: dict[str, tuple[str, ...]] = {
    SPARK_GROUP: (RAW,),
    INFERENCE_GROUP: (FEATURES,),
    STORE_GROUP: (RAW, FEATURES, PREDICTIONS, SHADOW, GUIDANCE),
}
"""The topics that each consumer group reads."""


@dataclass(frozen=True)
class Topics:
    """The topics and consumer groups of an installation: their names begin with its `topic_prefix`."""

    prefix: str
    replicas: int = 1
    min_insync_replicas: int | None = None
    """None: the default of the brokers."""

    @property
    def raw(self) -> str:
        return self.prefix + RAW

    @property
    def features(self) -> str:
        return self.prefix + FEATURES

    @property
    def hours(self) -> str:
        return self.prefix + HOURS

    @property
    def predictions(self) -> str:
        return self.prefix + PREDICTIONS

    @property
    def shadow(self) -> str:
        return self.prefix + SHADOW

    @property
    def guidance(self) -> str:
        return self.prefix + GUIDANCE

    @property
    def rejected(self) -> str:
        return self.prefix + REJECTED

    @property
    def spark_group(self) -> str:
        return self.prefix + SPARK_GROUP

    @property
    def inference_group(self) -> str:
        return self.prefix + INFERENCE_GROUP

    @property
    def store_group(self) -> str:
        return self.prefix + STORE_GROUP

    @property
    def table(self) -> tuple[Topic, ...]:
        """The topics with their configuration."""
        limit = self.min_insync_replicas
        durability = {} if limit is None else {"min.insync.replicas": str(limit)}
        return tuple(
            replace(topic, name=self.prefix + topic.name, replicas=self.replicas, config={**topic.config, **durability})
            for topic in TOPICS
        )

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The topics that each consumer group reads."""
        return {self.prefix + group: tuple(self.prefix + name for name in names) for group, names in GROUPS.items()}

    def role(self, name: str) -> str:
        """The name of a topic or group without the prefix, by which metrics and tables call it."""
        return name.removeprefix(self.prefix)

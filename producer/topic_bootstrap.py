"""Creates and configures the topics and consumer groups of `weatherglass.topics` on the broker.

Safe to run at any time, also while jobs are running: it creates missing topics, adds partitions, sets retention and
clean-up policy, and registers the consumer groups. Differences that it cannot or must not change are reported as drift.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, NoError, RetriableError, TopicAlreadyExistsError
from kafka.protocol.consumer import OffsetSpec
from kafka.structs import OffsetAndMetadata
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from weatherglass.kafka_connection import client_options
from weatherglass.settings import Settings
from weatherglass.topics import Topic

BROKER_TIMEOUT_SECONDS = 15

Log = Callable[[str], None]


class BootstrapError(Exception):
    """The broker is not available, or refused a request; the message contains its address."""


class DriftKind(StrEnum):
    """Kinds of differences that are not changed automatically."""

    REPLICATION = "replication"
    FEWER_PARTITIONS = "fewer_partitions"
    FIXED_PARTITIONS = "fixed_partitions"
    UNKNOWN_CONFIGURATION = "unknown_configuration"
    GROUP_OFFSETS = "group_offsets"


@dataclass(frozen=True)
class Drift:
    """A difference between the broker and the table that an administrator has to decide about.

    Attributes:
        name: of the topic or group.
        message: for the log.
    """

    kind: DriftKind
    name: str
    message: str


@dataclass
class BootstrapReport:
    """What was created and changed, each as a message for the log, and the remaining differences."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)

    @property
    def unchanged(self) -> bool:
        return not (self.created or self.changed or self.groups)


def bootstrap_topics(
    settings: Settings,
    log: Log = print,
    topics: Sequence[Topic] | None = None,
    groups: dict[str, tuple[str, ...]] | None = None,
) -> BootstrapReport:
    """Create and configure topics and groups; a second run changes nothing.

    Args:
        log: is called with each line for the task log.
        topics: default: those of the settings.
        groups: consumer group -> its topics; default: those of the settings.

    Raises:
        BootstrapError: the broker is not available, or refuses a change.
    """
    topics = settings.topics.table if topics is None else topics
    groups = settings.topics.groups if groups is None else groups
    report = BootstrapReport()
    milliseconds = BROKER_TIMEOUT_SECONDS * 1000
    try:
        admin = KafkaAdminClient(
            **client_options(settings),
            client_id="weatherglass-bootstrap",
            bootstrap_timeout_ms=milliseconds,
            request_timeout_ms=milliseconds,
        )
    except KafkaError as error:
        raise BootstrapError(f"Kafka broker at {settings.bootstrap_servers} is not available: {error}") from error
    try:
        _create(admin, topics, report)
        _partitions(admin, topics, {settings.topics.features}, report)
        _configuration(admin, topics, report)
        for group, names in groups.items():
            _register_group(admin, group, names, report)
    except KafkaError as error:
        raise BootstrapError(f"Kafka broker at {settings.bootstrap_servers} refused a request: {error!r}") from error
    finally:
        admin.close()
    for message in (*report.created, *report.changed, *report.groups):
        log(message)
    for drift in report.drift:
        log(f"WARNING: drift: {drift.message}")
    if report.unchanged and not report.drift:
        log(f"{len(topics)} topics and {len(groups)} groups are up to date")
    return report


def _create(admin: KafkaAdminClient, topics: Sequence[Topic], report: BootstrapReport) -> None:
    existing = set(admin.list_topics())
    for topic in topics:
        if topic.name in existing:
            continue
        specification = {
            "num_partitions": topic.partitions,
            "replication_factor": topic.replicas,
            "configs": topic.broker_config,
        }
        try:
            admin.create_topics({topic.name: specification})
        except TopicAlreadyExistsError:
            continue  # created concurrently; the following checks apply to it as well
        report.created.append(
            f"Created {topic.name}: {_count(topic.partitions)}, {_format_config(topic.broker_config)}"
        )
    admin.wait_for_topics([topic.name for topic in topics], timeout_ms=BROKER_TIMEOUT_SECONDS * 1000)


def _partitions(admin: KafkaAdminClient, topics: Sequence[Topic], fixed: Set[str], report: BootstrapReport) -> None:
    """Add partitions, except to the `fixed` topics, on which a station must stay on its partition."""
    existing = {topic["name"]: topic["partitions"] for topic in admin.describe_topics([topic.name for topic in topics])}
    for topic in topics:
        count = len(existing[topic.name])
        replicas = {len(partition["replica_nodes"]) for partition in existing[topic.name]}
        difference = f"{topic.name} has {_count(count)} instead of {topic.partitions}"
        if replicas != {topic.replicas}:
            message = f"{topic.name} has {sorted(replicas)} replicas per partition instead of {topic.replicas}"
            report.drift.append(Drift(DriftKind.REPLICATION, topic.name, message))
        if count == topic.partitions:
            continue
        if count > topic.partitions:
            message = f"{difference}; Kafka cannot remove partitions"
            report.drift.append(Drift(DriftKind.FEWER_PARTITIONS, topic.name, message))
        elif topic.name in fixed:
            message = f"{difference}; not changed, since stations would move: needs a migration"
            report.drift.append(Drift(DriftKind.FIXED_PARTITIONS, topic.name, message))
        else:
            admin.create_partitions({topic.name: topic.partitions})
            admin.wait_for_topics([topic.name], timeout_ms=BROKER_TIMEOUT_SECONDS * 1000)
            report.changed.append(f"{topic.name}: partitions from {count} to {topic.partitions}")


def _configuration(admin: KafkaAdminClient, topics: Sequence[Topic], report: BootstrapReport) -> None:
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    existing: dict[str, dict[str, Any]] = admin.describe_configs(resources, config_filter="all")["topic"]
    for topic in topics:
        entries = existing[topic.name]
        values = {name: entry["value"] for name, entry in entries.items()}
        explicit = {name for name, entry in entries.items() if entry["config_source"] == "DYNAMIC_TOPIC_CONFIG"}
        different = {
            name: value for name, value in topic.broker_config.items() if not _same_value(values.get(name), value)
        }
        if different:
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, different)])
            changes = ", ".join(f"{name} from {values.get(name)} to {value}" for name, value in different.items())
            report.changed.append(f"{topic.name}: {changes}")
        for name in sorted(explicit - set(topic.broker_config)):
            message = f"{topic.name} has {name}={values[name]}, which is not in the table; not changed"
            report.drift.append(Drift(DriftKind.UNKNOWN_CONFIGURATION, topic.name, message))


@retry(
    # A new broker creates its offsets topic on the first request about a group, and is then unavailable for a moment.
    retry=retry_if_exception_type(RetriableError),
    wait=wait_fixed(0.2),
    stop=stop_after_delay(BROKER_TIMEOUT_SECONDS),
    reraise=True,
)
def _register_group(admin: KafkaAdminClient, group: str, topics: tuple[str, ...], report: BootstrapReport) -> None:
    """Commit the beginning of each partition on which a group has no offset, so that Kafka tools show its lag.

    For Kafka's tools, a group without committed offsets does not exist. Only an empty group accepts offsets from other
    clients; those of a running one are not changed.
    """
    committed = admin.list_group_offsets([group]).get(group, {})
    partitions = {
        TopicPartition(topic["name"], partition["partition_index"])
        for topic in admin.describe_topics(list(topics))
        for partition in topic["partitions"]
    }
    missing = partitions - {partition for partition, offset in committed.items() if offset.offset >= 0}
    if not missing:
        return
    beginning = admin.list_partition_offsets(dict.fromkeys(missing, OffsetSpec.EARLIEST))
    offsets = {partition: OffsetAndMetadata(result.offset, "", None) for partition, result in beginning.items()}
    errors = {error for error in admin.alter_group_offsets(group, offsets).values() if error is not NoError}
    if errors:
        message = (
            f"Group {group} has no offset on {_count(len(missing))} and accepts none "
            f"({', '.join(sorted(error.__name__ for error in errors))}): it is running; not changed"
        )
        report.drift.append(Drift(DriftKind.GROUP_OFFSETS, group, message))
    else:
        report.groups.append(f"Group {group} starts at the beginning of {_count(len(missing))} of {', '.join(topics)}")


def _same_value(actual: str | None, expected: str) -> bool:
    """Whether two values are equivalent; the order in lists, such as clean-up policies, does not matter."""
    return actual is not None and sorted(actual.split(",")) == sorted(expected.split(","))


def _count(partitions: int) -> str:
    return f"{partitions} partition{'s' * (partitions != 1)}"


def _format_config(config: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in config.items())

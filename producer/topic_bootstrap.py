"""Making the broker agree with the table of topics and groups in `weatherglass.topics`.

Safe to run at any time, beside running jobs: it creates what is missing, adds partitions, applies retention and
clean-up policy, and makes the consumer groups visible. What it cannot or must not change it reports as drift.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, NoError, RetriableError, TopicAlreadyExistsError
from kafka.protocol.consumer import OffsetSpec
from kafka.structs import OffsetAndMetadata
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from weatherglass.settings import Settings
from weatherglass.topics import FEATURES, GROUPS, REPLICATION, TOPICS, Topic

FIXED_PARTITIONS = frozenset({FEATURES})
"""Topics on which a station must stay on its partition: their count changes only by a migration."""
BROKER_SECONDS = 15

Say = Callable[[str], None]


class BootstrapError(Exception):
    """The broker cannot be reached, or refused; the message says where and what."""


@dataclass
class BootstrapReport:
    """What was done, each as a sentence; `drift` is what a person has to decide about."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    drift: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)

    @property
    def nothing_done(self) -> bool:
        return not (self.created or self.changed or self.groups)


def bootstrap_topics(
    settings: Settings,
    say: Say = print,
    topics: Sequence[Topic] = TOPICS,
    groups: dict[str, tuple[str, ...]] = GROUPS,
) -> BootstrapReport:
    """Make the broker agree with the table; a second run does nothing.

    Raises:
        BootstrapError: the broker cannot be reached, or refuses a change.
    """
    report = BootstrapReport()
    milliseconds = BROKER_SECONDS * 1000
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=settings.bootstrap_servers,
            client_id="weatherglass-bootstrap",
            bootstrap_timeout_ms=milliseconds,
            request_timeout_ms=milliseconds,
        )
    except KafkaError as error:
        raise BootstrapError(f"no Kafka broker answers at {settings.bootstrap_servers}: {error}") from error
    try:
        _create(admin, topics, report)
        _partitions(admin, topics, report)
        _configuration(admin, topics, report)
        for group, names in groups.items():
            _make_known(admin, group, names, report)
    except KafkaError as error:
        raise BootstrapError(f"the broker at {settings.bootstrap_servers} refused: {error!r}") from error
    finally:
        admin.close()
    for sentence in (*report.created, *report.changed, *report.groups):
        say(sentence)
    for sentence in report.drift:
        say(f"WARNING drift: {sentence}")
    if report.nothing_done and not report.drift:
        say(f"{len(topics)} topics and {len(groups)} groups are as they should be")
    return report


def _create(admin: KafkaAdminClient, topics: Sequence[Topic], report: BootstrapReport) -> None:
    existing = set(admin.list_topics())
    for topic in topics:
        if topic.name in existing:
            continue
        wanted = {
            "num_partitions": topic.partitions,
            "replication_factor": REPLICATION,
            "configs": topic.broker_config,
        }
        try:
            admin.create_topics({topic.name: wanted})
        except TopicAlreadyExistsError:
            continue  # somebody else was faster; the checks that follow see to the rest
        report.created.append(f"created {topic.name}: {_count(topic.partitions)}, {_in_words(topic.broker_config)}")
    admin.wait_for_topics([topic.name for topic in topics], timeout_ms=BROKER_SECONDS * 1000)


def _partitions(admin: KafkaAdminClient, topics: Sequence[Topic], report: BootstrapReport) -> None:
    found = {topic["name"]: topic["partitions"] for topic in admin.describe_topics([topic.name for topic in topics])}
    for topic in topics:
        has = len(found[topic.name])
        copies = {len(partition["replica_nodes"]) for partition in found[topic.name]}
        if copies != {REPLICATION}:
            report.drift.append(
                f"{topic.name} has {sorted(copies)} copies of a partition, the table says {REPLICATION}"
            )
        if has == topic.partitions:
            continue
        if has > topic.partitions:
            report.drift.append(
                f"{topic.name} has {_count(has)}, the table says {topic.partitions}; Kafka cannot take partitions away"
            )
        elif topic.name in FIXED_PARTITIONS:
            report.drift.append(
                f"{topic.name} has {_count(has)}, the table says {topic.partitions}; left as it is, since a station "
                "would move to another partition: that takes a migration"
            )
        else:
            admin.create_partitions({topic.name: topic.partitions})
            admin.wait_for_topics([topic.name], timeout_ms=BROKER_SECONDS * 1000)
            report.changed.append(f"{topic.name}: partitions from {has} to {topic.partitions}")


def _configuration(admin: KafkaAdminClient, topics: Sequence[Topic], report: BootstrapReport) -> None:
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    found: dict[str, dict[str, Any]] = admin.describe_configs(resources, config_filter="all")["topic"]
    for topic in topics:
        has = {name: entry["value"] for name, entry in found[topic.name].items()}
        own = {name for name, entry in found[topic.name].items() if entry["config_source"] == "DYNAMIC_TOPIC_CONFIG"}
        wrong = {name: value for name, value in topic.broker_config.items() if not _same(has.get(name), value)}
        if wrong:
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, wrong)])
            changes = ", ".join(f"{name} from {has.get(name)} to {value}" for name, value in wrong.items())
            report.changed.append(f"{topic.name}: {changes}")
        for name in sorted(own - set(topic.broker_config)):
            report.drift.append(f"{topic.name} has {name}={has[name]}, which the table does not know; left as it is")


@retry(
    # A new broker makes its topic of offsets at the first question about a group, and answers a moment later.
    retry=retry_if_exception_type(RetriableError),
    wait=wait_fixed(0.2),
    stop=stop_after_delay(BROKER_SECONDS),
    reraise=True,
)
def _make_known(admin: KafkaAdminClient, group: str, topics: tuple[str, ...], report: BootstrapReport) -> None:
    """Commit the beginning for partitions on which a group has no offset, so that every tool sees its lag.

    A group without any committed offset does not exist for Kafka's tools. Only an empty group takes offsets from
    outside; a running one keeps its own and is left alone.
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
    offsets = {partition: OffsetAndMetadata(found.offset, "", None) for partition, found in beginning.items()}
    refused = {error for error in admin.alter_group_offsets(group, offsets).values() if error is not NoError}
    if refused:
        report.drift.append(
            f"group {group} has no offset on {_count(len(missing))} and takes none from outside "
            f"({', '.join(sorted(error.__name__ for error in refused))}): it runs, and is left alone"
        )
    else:
        report.groups.append(f"group {group}: starts at the beginning of {_count(len(missing))} of {', '.join(topics)}")


def _same(has: str | None, wanted: str) -> bool:
    """Whether two values mean the same; lists, such as clean-up policies, have no order."""
    return has is not None and sorted(has.split(",")) == sorted(wanted.split(","))


def _count(partitions: int) -> str:
    return f"{partitions} partition{'s' * (partitions != 1)}"


def _in_words(config: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in config.items())

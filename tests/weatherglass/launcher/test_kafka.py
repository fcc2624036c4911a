"""The embedded broker, as a real process."""

from __future__ import annotations

import os
import re
import shutil
import signal
import uuid
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient

from tests.conftest import TestBroker, make_settings
from tests.spark_jobs.driver import read_all, send
from weatherglass.files import DamagedFileError
from weatherglass.launcher.kafka import Broker, BrokerError
from weatherglass.launcher.kafka_files import META, METADATA_LOG, REMOVE
from weatherglass.net import accepts_connections
from weatherglass.topics import HOURS, RAW, TOPICS


def test_missing_jars_raise_with_the_command_that_installs_them(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="make setup"):
        Broker(make_settings(tmp_path, build_dir=tmp_path)).prepare()


@pytest.mark.integration
def test_a_cluster_id_that_begins_with_a_dash_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(bytes=b"\xf8" * 16))
    broker = Broker(make_settings(tmp_path))
    broker.prepare()
    assert "cluster.id=-Pj4" in (broker.folder / "data" / "meta.properties").read_text()


@pytest.mark.integration
def test_messages_survive_a_restart(fresh_broker: TestBroker) -> None:
    admin = KafkaAdminClient(bootstrap_servers=fresh_broker.bootstrap_servers)
    assert {topic.name for topic in TOPICS} <= set(admin.list_topics())
    admin.close()
    producer = KafkaProducer(bootstrap_servers=fresh_broker.bootstrap_servers)
    producer.send(RAW, b"value", key=b"station").get(120)
    producer.close()

    fresh_broker.stop()
    assert not accepts_connections(fresh_broker.bootstrap_servers)
    fresh_broker.start()

    consumer = KafkaConsumer(
        RAW,
        bootstrap_servers=fresh_broker.bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=120_000,
        metadata_max_age_ms=1_000,  # just after its start, a broker may not know the topic yet
    )
    assert next(iter(consumer)).value == b"value"
    consumer.close()


SMALL_FILES = (
    *(META, "bootstrap.checkpoint", f"{METADATA_LOG}/quorum-state", f"{METADATA_LOG}/partition.metadata"),
    *(f"{METADATA_LOG}/leader-epoch-checkpoint", f"{RAW}-0/partition.metadata", f"{RAW}-0/leader-epoch-checkpoint"),
    *("recovery-point-offset-checkpoint", "replication-offset-checkpoint", "log-start-offset-checkpoint"),
)


def repair(error: DamagedFileError) -> None:
    """Do what the error says."""
    if error.remedy == REMOVE:
        error.file.unlink()
        return
    copied = re.fullmatch(r"Copy (\S+) to it", error.remedy)
    assert copied, error.remedy
    shutil.copy(copied[1], error.file)


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_a_truncated_small_file_is_harmless_or_named_with_a_remedy_that_keeps_all_messages(
    fresh_broker: TestBroker, tmp_path: Path
) -> None:
    data, intact = fresh_broker.broker.folder / "data", tmp_path / "intact"
    send(fresh_broker.bootstrap_servers, [(str(n).encode(), b"value") for n in range(20)])
    fresh_broker.stop()
    fresh_broker.broker.prepare()  # keeps a copy of meta.properties
    shutil.copytree(data, intact)
    problems: dict[tuple[str, float], object] = {}
    for name in SMALL_FILES:
        for share in (0, 0.5):
            shutil.rmtree(data)
            shutil.copytree(intact, data)
            os.truncate(data / name, int((data / name).stat().st_size * share))
            try:
                fresh_broker.broker.prepare()
            except DamagedFileError as error:
                if error.file != data / name:
                    problems[name, share] = f"the error names {error.file}"
                repair(error)
            fresh_broker.start()
            if (count := len(read_all(fresh_broker.bootstrap_servers, RAW))) != 20:
                problems[name, share] = count
            fresh_broker.stop(signal.SIGKILL)
    assert problems == {}


@pytest.mark.integration
@pytest.mark.parametrize("name", [META, f"{RAW}-0/partition.metadata"])
def test_a_missing_file_without_which_kafka_deletes_messages_is_named(fresh_broker: TestBroker, name: str) -> None:
    send(fresh_broker.bootstrap_servers, [(str(n).encode(), b"value") for n in range(20)])
    fresh_broker.stop()
    file = fresh_broker.broker.folder / "data" / name
    file.unlink()
    with pytest.raises(DamagedFileError) as error:
        fresh_broker.start()
    assert error.value.file == file
    assert not accepts_connections(fresh_broker.bootstrap_servers)
    repair(error.value)
    fresh_broker.start()
    assert len(read_all(fresh_broker.bootstrap_servers, RAW)) == 20


@pytest.mark.integration
def test_an_interrupted_format_is_repeated(tmp_path: Path) -> None:
    broker = Broker(make_settings(tmp_path))
    broker.prepare()
    (broker.folder / "data" / META).unlink()
    broker.prepare()
    assert (broker.folder / "data" / META).exists()


def test_the_topic_of_hours_is_compacted() -> None:
    (hours,) = [topic for topic in TOPICS if topic.name == HOURS]
    assert hours.broker_config["cleanup.policy"] == "compact,delete"

"""All Python clients at a real broker with TLS and SASL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from producer.publish import PublishError, open_producer, publish_batch
from producer.topic_bootstrap import bootstrap_topics
from tests.secured_broker import PASSWORD, USERS, Authority, SecuredBroker, secured_broker
from weatherglass.alerts import metrics as m
from weatherglass.alerts.sample import MetricSample
from weatherglass.consumer.record_reader import RecordReader
from weatherglass.kafka_connection import client_options, spark_options
from weatherglass.kafka_settings import KafkaSaslMechanism
from weatherglass.launcher.consumer_lag import lags
from weatherglass.monitor.kafka_metrics import KafkaMetrics
from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.settings import LOOPBACK, Settings
from weatherglass.settings_errors import SettingsError

pytestmark = pytest.mark.integration

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)
OBSERVATION = Observation(station_id="roof", timestamp=NOW, temperature=20.0)
SCRAM = KafkaSaslMechanism.SCRAM_SHA_512


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    with secured_broker(tmp_path_factory.mktemp("secured")) as broker:
        yield broker


@pytest.mark.parametrize("mechanism", KafkaSaslMechanism)
def test_each_mechanism_creates_topics_writes_transactions_and_reads(
    secured: SecuredBroker, tmp_path: Path, mechanism: KafkaSaslMechanism
) -> None:
    settings = secured.client(tmp_path, mechanism, topic_prefix=f"{USERS[mechanism]}-", kafka_min_insync_replicas=1)
    assert len(bootstrap_topics(settings, lambda _: None).created) == len(settings.topics.table)
    assert bootstrap_topics(settings, lambda _: None).unchanged
    topic = settings.topics.raw
    with open_producer(settings) as producer:
        publish_batch(producer, topic, [OBSERVATION], {"roof": Origin.OWN}, NOW)
    with closing(KafkaProducer(**client_options(settings), transactional_id=topic)) as producer:
        producer.init_transactions()
        for value, ends in ((b"dropped", producer.abort_transaction), (b"kept", producer.commit_transaction)):
            producer.begin_transaction()
            producer.send(topic, value)
            ends()
    with closing(RecordReader(settings)) as reader:
        reader.assign(reader.partitions_of(topic))
        values = [record.value for record in reader.read_to_end(lambda: None)]
    assert sorted(values) == sorted([OBSERVATION.to_json(), b"kept"])
    assert set(lags(settings)) == {(group, name) for group, names in settings.topics.groups.items() for name in names}
    sample, collector = MetricSample(NOW), KafkaMetrics(settings)
    collector.collect(sample)
    collector.close()
    assert list(sample.values[m.KAFKA_UP.name].values()) == [1]


def test_the_settings_decide_the_durability_of_new_topics(secured: SecuredBroker, tmp_path: Path) -> None:
    settings = secured.client(tmp_path, SCRAM, kafka_replication=3, kafka_min_insync_replicas=2)
    assert {(topic.replicas, topic.broker_config["min.insync.replicas"]) for topic in settings.topics.table} == {
        (3, "2")
    }


def test_a_client_certificate_is_presented(secured: SecuredBroker, tmp_path: Path) -> None:
    tls = {"kafka_bootstrap": f"{LOOPBACK}:{secured.tls_port}", "kafka_protocol": "SSL"}
    files = secured.files
    settings = Settings(
        **tls,
        state_dir=tmp_path,
        kafka_ca_file=files / "ca.pem",
        kafka_certificate_file=files / "client.pem",
        kafka_key_file=files / "client.key",
    )
    with closing(KafkaAdminClient(**client_options(settings))) as admin:
        assert admin.list_topics() is not None
    _refused(Settings(**tls, state_dir=tmp_path, kafka_ca_file=files / "ca.pem"))


def test_a_wrong_password_and_an_unknown_authority_are_refused(secured: SecuredBroker, tmp_path: Path) -> None:
    wrong, other = tmp_path / "wrong", tmp_path / "other"
    wrong.write_text("wrong", encoding="utf-8")
    other.mkdir()
    Authority(other)
    _refused(secured.client(tmp_path / "state", SCRAM, kafka_password_file=wrong))
    _refused(secured.client(tmp_path / "state", SCRAM, kafka_ca_file=other / "ca.pem"))


def test_no_secret_is_in_the_settings(secured: SecuredBroker, tmp_path: Path) -> None:
    settings = secured.client(tmp_path, SCRAM)
    assert PASSWORD not in repr(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("field", "content"), [("kafka_password_file", " \n"), ("kafka_key_file", "no key"), ("kafka_ca_file", "")]
)
def test_an_unusable_file_is_reported_with_its_setting(
    secured: SecuredBroker, tmp_path: Path, field: str, content: str
) -> None:
    files = {"kafka_certificate_file": secured.files / "client.pem", "kafka_key_file": secured.files / "client.key"}
    unusable = tmp_path / "file"
    unusable.write_text(content, encoding="utf-8")
    settings = secured.client(tmp_path / "state", SCRAM, **(files | {field: unusable}))
    with pytest.raises(SettingsError) as raised:
        spark_options(settings)
    assert f"WEATHERGLASS_{field.upper()}" in str(raised.value)


def _refused(settings: Settings) -> None:
    with pytest.raises(PublishError), open_producer(settings):
        pass

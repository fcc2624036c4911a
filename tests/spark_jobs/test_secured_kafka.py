"""Spark's source and sink at a real broker with TLS, SASL and a client certificate."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from producer.publish import open_producer
from producer.topic_bootstrap import bootstrap_topics
from spark_jobs.group_offsets import GroupOffsets
from spark_jobs.stream_features import start_query
from tests.secured_broker import PASSWORD, secured_broker
from weatherglass.consumer.record_reader import RecordReader
from weatherglass.kafka_connection import spark_options
from weatherglass.kafka_settings import KafkaSaslMechanism
from weatherglass.qc.observation_checks import QcParameters

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("mechanism", [KafkaSaslMechanism.PLAIN, KafkaSaslMechanism.SCRAM_SHA_512])
def test_the_stream_reads_and_writes_and_no_plan_shows_a_secret(
    streaming: SparkSession, tmp_path: Path, mechanism: KafkaSaslMechanism
) -> None:
    with secured_broker(tmp_path) as broker:
        certificate = {"kafka_certificate_file": tmp_path / "client.pem", "kafka_key_file": tmp_path / "client.key"}
        settings = broker.client(tmp_path / "state", mechanism, **certificate)
        bootstrap_topics(settings, lambda _: None)
        with open_producer(settings) as producer:
            producer.send(settings.topics.raw, b"no observation").get(timeout=60)
        query = start_query(streaming, settings, tmp_path / "checkpoint", QcParameters())
        try:
            query.processAllAvailable()
        finally:
            query.stop()
        options = spark_options(settings)
        written = streaming.createDataFrame([("batch",)], "value string").write.format("kafka").options(**options)
        written.option("topic", settings.topics.rejected).save()
        with closing(RecordReader(settings)) as reader:
            reader.assign(reader.partitions_of(settings.topics.rejected))
            values = [record.value for record in reader.read_to_end(lambda: None)]
        assert sorted(values) == [b"batch", b"no observation"]
        group = GroupOffsets(settings)
        try:
            assert group.missing_topics([settings.topics.raw]) == []
        finally:
            group.close()
    executions = streaming._jsparkSession.sharedState().statusStore().executionsList()
    plans = "".join(executions.apply(number).physicalPlanDescription() for number in range(executions.size()))
    assert "kafka.security.protocol" in plans
    key = options["kafka.ssl.keystore.key"].splitlines()[1]
    for secret in (PASSWORD, PASSWORD.split('"')[1], key):
        assert secret not in plans

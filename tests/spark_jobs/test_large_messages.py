"""Messages beyond the size of a record, as their senders may compress them: they never stop the stream."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from kafka import KafkaProducer
from pyspark.sql import SparkSession

from spark_jobs.batches import batch_from_progress, finished_batches
from spark_jobs.parsing import LONGEST_KEY, LONGEST_VALUE
from spark_jobs.query_progress import Events
from spark_jobs.stream_features import start_queries
from tests.conftest import TestBroker
from tests.spark_jobs.driver import read_all
from tests.spark_jobs.messages import observe
from weatherglass.qc.observation_checks import Rules
from weatherglass.topics import FEATURES, RAW, REJECTED

pytestmark = pytest.mark.integration


def test_large_messages(fresh_broker: TestBroker, streaming: SparkSession, start: datetime, tmp_path: Path) -> None:
    """What is too long is cut, and says so; a header that is no word of ours is not handed on."""
    servers = fresh_broker.bootstrap_servers
    good = json.dumps(observe("paris", start, 0)).encode()
    whole, nearly, huge = b"a" * LONGEST_VALUE, b"b" * 1_040_000, b"c" * 3_000_000
    packed = KafkaProducer(bootstrap_servers=servers, compression_type="gzip", max_request_size=20_000_000)
    plain = KafkaProducer(bootstrap_servers=servers, max_request_size=20_000_000)
    packed.send(RAW, huge, b"k" * 3_000_000, headers=[("replayed", b"r" * 2_000_000)]).get(60)
    packed.send(RAW, good, b"paris", headers=[("source", b"s" * 2_000_000)]).get(60)
    plain.send(RAW, nearly, b"paris", headers=[("replayed", b"now")]).get(60)
    plain.send(RAW, whole, b"paris").get(60)
    packed.close()
    plain.close()

    events = Events(streaming)
    queries = start_queries(streaming, fresh_broker.settings, tmp_path, Rules({}, {}))
    try:
        for query in queries:
            query.processAllAvailable()
    finally:
        for query in queries:
            query.stop()

    found = {record.value[:1]: record for record in read_all(servers, REJECTED)}
    headers = {name: dict(record.headers) for name, record in found.items()}
    assert {name: len(record.value) for name, record in found.items()} == dict.fromkeys(
        (b"a", b"b", b"c"), LONGEST_VALUE
    )
    assert headers[b"a"].keys() == {"reason", "topic", "partition", "offset"}
    assert (headers[b"b"]["truncated"], headers[b"b"]["replayed"]) == (b"1040000", b"now")
    assert (headers[b"c"]["truncated"], headers[b"c"]["truncated_key"]) == (b"3000000", b"3000000")
    assert "replayed" not in headers[b"c"]
    assert (found[b"b"].key, found[b"c"].key) == (b"paris", b"k" * LONGEST_KEY)

    windows = read_all(servers, FEATURES)
    assert {json.loads(record.value)["station_id"] for record in windows} == {"paris"}
    assert all("source" not in dict(record.headers) for record in windows)

    told = [event.batch for event in events.next(60) if event.query == "features" and event.batch]
    assert [batch_from_progress(batch) for batch in told] == finished_batches(tmp_path / "features", -1)

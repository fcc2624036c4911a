"""Messages above the size limit of a record, possible with compression by the sender: they do not stop the stream."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from kafka import KafkaProducer
from pyspark.sql import SparkSession

from spark_jobs.batches import last_batch
from spark_jobs.query_progress import QueryEventQueue
from spark_jobs.stream_features import QUERY, start_query
from tests.conftest import TestBroker
from tests.spark_jobs.driver import read_all
from tests.spark_jobs.messages import observe
from weatherglass.qc.observation_checks import QcParameters
from weatherglass.topics import FEATURES, MAX_REJECTED_KEY_BYTES, MAX_REJECTED_VALUE_BYTES, RAW, REJECTED

pytestmark = pytest.mark.integration


def test_large_messages_are_truncated_and_long_headers_dropped(
    fresh_broker: TestBroker, streaming: SparkSession, start: datetime, tmp_path: Path
) -> None:
    servers = fresh_broker.bootstrap_servers
    valid = json.dumps(observe("paris", start, 0)).encode()
    longest, too_long, huge = b"a" * MAX_REJECTED_VALUE_BYTES, b"b" * 1_040_000, b"c" * 3_000_000
    compressing = KafkaProducer(bootstrap_servers=servers, compression_type="gzip", max_request_size=20_000_000)
    plain = KafkaProducer(bootstrap_servers=servers, max_request_size=20_000_000)
    compressing.send(RAW, huge, b"k" * 3_000_000, headers=[("replayed", b"r" * 2_000_000)]).get(60)
    compressing.send(RAW, valid, b"paris", headers=[("source", b"s" * 2_000_000)]).get(60)
    plain.send(RAW, too_long, b"paris", headers=[("replayed", b"now")]).get(60)
    plain.send(RAW, longest, b"paris").get(60)
    compressing.close()
    plain.close()

    events = QueryEventQueue(streaming)
    query = start_query(streaming, fresh_broker.settings, tmp_path, QcParameters({}, {}))
    try:
        query.processAllAvailable()
    finally:
        query.stop()

    rejected = {record.value[:1]: record for record in read_all(servers, REJECTED)}
    headers = {name: dict(record.headers) for name, record in rejected.items()}
    assert {name: len(record.value) for name, record in rejected.items()} == dict.fromkeys(
        (b"a", b"b", b"c"), MAX_REJECTED_VALUE_BYTES
    )
    assert headers[b"a"].keys() == {"reason", "topic", "partition", "offset"}
    assert (headers[b"b"]["truncated"], headers[b"b"]["replayed"]) == (b"1040000", b"now")
    assert (headers[b"c"]["truncated"], headers[b"c"]["truncated_key"]) == (b"3000000", b"3000000")
    assert "replayed" not in headers[b"c"]
    assert (rejected[b"b"].key, rejected[b"c"].key) == (b"paris", b"k" * MAX_REJECTED_KEY_BYTES)

    windows = read_all(servers, FEATURES)
    assert {json.loads(record.value)["station_id"] for record in windows} == {"paris"}
    assert all("source" not in dict(record.headers) for record in windows)

    newest, batch = [event for event in events.next(60) if event][-1], last_batch(tmp_path / QUERY)
    assert newest
    assert batch
    assert (newest["batchId"], newest["sources"][0]["endOffset"]) == (batch.number, batch.end)

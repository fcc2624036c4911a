"""The consumer group of the features job tells the true lag, also before a job's first batch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.structs import OffsetAndMetadata

from tests.conftest import TestBroker
from tests.spark_jobs.driver import Driver, committed, ends, send
from tests.spark_jobs.messages import keyed, observe
from weatherglass.history.prepared import Manifest
from weatherglass.topics import RAW, SPARK_GROUP

pytestmark = pytest.mark.integration


@pytest.mark.timeout(1800)
def test_lag_is_true_before_the_first_batch(driver: Driver, fresh_broker: TestBroker, start: datetime) -> None:
    """Of a job that never ran, and of one that stopped and is started again."""
    servers = fresh_broker.bootstrap_servers
    waiting = [observe(f"station-{n}", start + timedelta(seconds=n), n) for n in range(20)]
    send(servers, keyed(waiting))
    with _before_the_first_batch(driver, "starts at the beginning"):
        assert _lag(servers) == len(waiting)
    driver.wait_for("lag of none", lambda: _lag(servers) == 0)

    assert driver.stop() == 0, driver.last_words()
    _commit(servers, dict.fromkeys(ends(servers, RAW), 0))  # as if it had died before it told of its last batches
    more = [observe(f"station-{n}", start + timedelta(minutes=1, seconds=n), n) for n in range(7)]
    send(servers, keyed(more))
    with _before_the_first_batch(driver, "goes on after batch"):
        assert _lag(servers) == len(more)
    driver.wait_for("lag of none", lambda: _lag(servers) == 0)


@contextmanager
def _before_the_first_batch(driver: Driver, said: str) -> Iterator[None]:
    """A job that has started, and said so, but waits for the manifest of the prepared history before its queries."""
    manifest = Manifest("nycflights13", "none", "", "", 0, 0)
    content = json.dumps(asdict(manifest)).encode()
    driver.folder.write_json(driver.folder.path / "climate.json", {"history": manifest.fingerprint, "climate": {}})
    path = driver.settings.history_dir / "manifest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    told = len(driver.progress())
    with path.open("r+b", buffering=0) as pipe:  # both ends, or it would wait here for a reader
        driver.start()
        driver.wait_for(said, lambda: any(said in line["said"] for line in driver.progress()[told:]))
        yield
        # who waits at the pipe reads it there, who comes later finds a file
        whole = path.with_suffix(".tmp")
        whole.write_bytes(content)
        whole.replace(path)
        pipe.write(content)


def _lag(servers: str) -> int:
    """Messages that the group has not read; each partition is known to it."""
    read = committed(servers)
    return sum(end - read[partition] for partition, end in ends(servers, RAW).items())


def _commit(servers: str, offsets: dict[int, int]) -> None:
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        wanted = {TopicPartition(RAW, p): OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}
        errors = admin.alter_group_offsets(SPARK_GROUP, wanted).values()
        assert not any(error.errno for error in errors)
    finally:
        admin.close()

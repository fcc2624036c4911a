"""Messages that the stream does not compute, because the log on the broker is another one: reported, and backfilled."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from pyspark.sql import SparkSession

from spark_jobs.backfill_features import backfill
from spark_jobs.group_offsets import GroupOffsets
from spark_jobs.log_position import DELETED, RECREATED, SHORTER, LogPosition
from tests.conftest import TestBroker
from tests.oracle import differences, expected_features
from tests.spark_jobs.driver import Driver, ends, send
from tests.spark_jobs.messages import ELEVATIONS, features_on_topic, keyed, observe
from tests.waiting import until
from weatherglass.topics import RAW, TOPICS

pytestmark = pytest.mark.integration

Losses = list[tuple[str, str, str]]


class Position(LogPosition):
    """A position that collects what it reports: partition, offsets, cause."""

    def __init__(self, broker: TestBroker, file: Path, read: dict[str, int]):
        self.group = GroupOffsets(broker.settings)
        self.losses: Losses = []
        super().__init__(self.group, RAW, file, read, self._collect)

    def _collect(self, message: str) -> None:
        partition = re.search(rf"{RAW}-(\d+)", message)
        offsets = re.search(r"offsets (\d+ to \d+)", message)
        (cause,) = (cause for cause in (DELETED, RECREATED, SHORTER) if cause in message)
        assert partition
        self.losses.append((partition[1], offsets[1] if offsets else "", cause))

    def checked(self) -> Losses:
        self.losses.clear()
        self.check()
        return list(self.losses)

    def advanced(self, read: dict[str, int]) -> Losses:
        self.losses.clear()
        self.advance(read)
        return list(self.losses)


def test_each_range_that_is_not_computed_is_reported_once(fresh_broker: TestBroker, tmp_path: Path) -> None:
    servers, file = fresh_broker.bootstrap_servers, tmp_path / "topic-id"
    send(servers, [(b"a", b"1")] * 8)
    ((partition, end),) = ((str(p), end) for p, end in ends(servers, RAW).items() if end)

    intact = Position(fresh_broker, file, {partition: end})
    assert intact.checked() == intact.checked() == intact.advanced({partition: end}) == []

    shorter = Position(fresh_broker, file, {partition: 20})
    assert shorter.checked() == [], "Spark has not continued yet"
    assert shorter.advanced({partition: 8}) == [(partition, "0 to 7", SHORTER)]
    assert shorter.checked() == shorter.advanced({partition: 9}) == []

    grown = Position(fresh_broker, file, {partition: 10})
    assert grown.checked() == []
    send(servers, [(b"a", b"1")] * 3)
    assert grown.checked() == [(partition, "0 to 9", SHORTER)]
    assert grown.checked() == []

    _delete_before(servers, int(partition), 4)
    deleted = Position(fresh_broker, file, {partition: 2})
    assert deleted.checked() == [(partition, "2 to 3", DELETED)]
    assert deleted.checked() == []

    replace_topic(fresh_broker)
    send(servers, [(b"a", b"1")] * 5)
    before = Position(fresh_broker, file, {partition: 11})
    assert before.checked() == []
    again = Position(fresh_broker, file, {partition: 3})  # the job is started again before Spark has continued
    assert again.checked() == [(partition, "0 to 2", RECREATED)]
    assert again.checked() == Position(fresh_broker, file, {partition: 5}).checked() == []

    _delete_topic(servers)
    with pytest.raises(KafkaError):
        intact.check()
    intact.check_while_running()


@pytest.mark.timeout(1800)
def test_a_topic_that_is_created_again_is_reported_and_read_on(
    driver: Driver, fresh_broker: TestBroker, start: datetime, spark: SparkSession
) -> None:
    """While the job is stopped, and while it is running. The batch job computes the windows of what it did not read."""
    servers = fresh_broker.bootstrap_servers
    driver.start()
    driver.wait_until_read(send(servers, keyed(_series("paris", start - timedelta(minutes=20), 12))))
    assert driver.stop() == 0, driver.log_tail()

    replace_topic(fresh_broker)
    skipped = _series("paris", start, 8)
    send(servers, keyed(skipped))
    driver.start()
    _wait_for_losses(driver, [8])
    computed = [observe("paris", start + timedelta(minutes=m), m) for m in (20, 21)]
    driver.wait_until_read(send(servers, keyed(computed)))
    _check_windows(servers, "paris", computed)

    replace_topic(fresh_broker)
    skipped = _series("paris", start + timedelta(minutes=40), 6)
    send(servers, keyed(skipped))
    _wait_for_losses(driver, [8, 6])
    computed += [observe("paris", start + timedelta(minutes=m), m) for m in (55, 56)]
    driver.wait_until_read(send(servers, keyed(computed[2:])))
    assert driver.stop() == 0, driver.log_tail()
    _check_windows(servers, "paris", computed)

    assert backfill(spark, driver.settings, ["paris"], start, start + timedelta(days=1)) > 0
    _check_windows(servers, "paris", [*skipped, *computed])


def _series(station: str, start: datetime, count: int) -> list[dict[str, Any]]:
    return [observe(station, start + timedelta(seconds=20 * n), n) for n in range(count)]


def _wait_for_losses(driver: Driver, counts: list[int]) -> None:
    """Wait until losses of these numbers of messages, and no others, are reported.

    A job that ends, because the topic was missing for a moment, is started again, as its supervisor does.
    """

    def reported() -> bool:
        if not driver.is_running():
            driver.start()
        ranges = [
            re.search(r"offsets (\d+) to (\d+),", line["message"]) for line in driver.progress() if line.get("lost")
        ]
        found = [int(offsets[2]) - int(offsets[1]) + 1 for offsets in ranges if offsets]
        assert found == counts[: len(found)]
        return found == counts

    until("report of a loss", reported)


def _check_windows(servers: str, station: str, observations: list[dict[str, Any]]) -> None:
    """The windows since the first of these observations are those of the oracle."""
    expected = expected_features(observations, ELEVATIONS)
    first = min(end for _, end in expected)
    features = {key: window for key, window in features_on_topic(servers).items() if key[0] == station}
    assert differences({key: w for key, w in features.items() if key[1] >= first}, expected)[:20] == []


def replace_topic(broker: TestBroker) -> None:
    """Delete `weather-raw` and create it again."""
    _delete_topic(broker.bootstrap_servers)
    broker.create_topics(tuple(topic for topic in TOPICS if topic.name == RAW))


def _delete_topic(servers: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        admin.delete_topics([RAW])
        until("deletion", lambda: RAW not in admin.list_topics())
    finally:
        admin.close()


def _delete_before(servers: str, partition: int, offset: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        admin.delete_records({TopicPartition(RAW, partition): offset})
    finally:
        admin.close()

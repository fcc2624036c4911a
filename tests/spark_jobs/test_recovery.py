"""The features job after faults: it publishes again, and every window is as without the fault."""

from __future__ import annotations

import json
import random
import signal
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from tests.conftest import TestBroker
from tests.oracle import differences, expected_features, time_of
from tests.spark_jobs.driver import Driver, send
from tests.spark_jobs.messages import ELEVATIONS, features_on_topic, keyed, observe, rejected_on_topic
from weatherglass.topics import FEATURES

pytestmark = pytest.mark.integration

OUTAGE = 30.0
"""Seconds for which the broker is stopped; the duration is part of the fault."""

STATIONS = [*(f"station-{n}" for n in range(5)), "new-york"]
CLOCK_DELAY = {"station-0": timedelta(minutes=6)}
"""Delay of station clocks that are slow."""


class MessageSender:
    """Sends messages to a job in rounds of ten seconds of the stations' time, and keeps them for comparison."""

    def __init__(self, driver: Driver, servers: str, start: datetime):
        self.driver, self._servers, self._start = driver, servers, start
        self._round = 0
        self._sent: list[dict[str, Any]] = []
        self._invalid: list[bytes] = []

    def send_round(self) -> dict[int, int]:
        """Send an observation of each station and an invalid message; returns the end offsets of the topic."""
        self._round += 1
        now = self._start + timedelta(seconds=10 * self._round)
        new = [
            observe(name, now + timedelta(seconds=n) - CLOCK_DELAY.get(name, timedelta()), 100 * self._round + n)
            for n, name in enumerate(STATIONS)
        ]
        self._sent += new
        self._invalid.append(b"no observation %d" % self._round)
        return send(self._servers, [*keyed(new), (None, self._invalid[-1])])

    def send_until_in_batch(self) -> None:
        """Send rounds until a batch has started, then wait until a random point in it."""
        durations = self.driver.wait_for(
            "report of a batch", lambda: [line["ms"] for line in self.driver.progress() if "ms" in line]
        )

        def batch_started() -> bool:
            self.send_round()
            return self.driver.in_batch()

        self.driver.wait_for("started batch", batch_started)
        time.sleep(random.uniform(0, min(durations) / 1000))

    def wait_for_output(self) -> None:
        """Send a round, and read `weather-features` until a window contains its last observation."""
        consumer = KafkaConsumer(bootstrap_servers=self._servers, enable_auto_commit=False)
        try:
            partitions = [TopicPartition(FEATURES, number) for number in consumer.partitions_for_topic(FEATURES)]
            consumer.assign(partitions)
            for partition, end in consumer.end_offsets(partitions).items():
                consumer.seek(partition, end)
            ends = self.send_round()
            newest = self._sent[-1]

            def published() -> bool:
                polled = consumer.poll(timeout_ms=200).values()
                records = [json.loads(message.value) for messages in polled for message in messages]
                return any(
                    record["station_id"] == newest["station_id"]
                    and time_of(record["aggregated_features"]["last_observation"]) == time_of(newest["timestamp"])
                    for record in records
                )

            self.driver.wait_for(f"window of {newest['station_id']} at {newest['timestamp']}", published)
        finally:
            consumer.close()
        self.driver.wait_until_read(ends)

    def check(self) -> None:
        """Every window equals that of the oracle, and `weather-rejected` contains exactly the invalid messages."""
        assert differences(features_on_topic(self._servers), expected_features(self._sent, ELEVATIONS))[:20] == []
        assert sorted(value or b"" for _, _, value in rejected_on_topic(self._servers)) == sorted(self._invalid)


@pytest.mark.timeout(3600)
def test_after_each_fault_the_job_publishes_again_without_changed_windows(
    driver: Driver, fresh_broker: TestBroker, start: datetime
) -> None:
    """`pytest -s` shows the seconds from the end of each fault to the first window with a new observation."""
    sender = MessageSender(driver, fresh_broker.bootstrap_servers, start)

    def kill_job() -> None:
        driver.kill()

    def stop_broker() -> None:
        fresh_broker.stop()
        time.sleep(OUTAGE)
        fresh_broker.start()

    def kill_job_and_broker() -> None:
        driver.kill()
        fresh_broker.stop(signal.SIGKILL)
        time.sleep(OUTAGE)
        fresh_broker.start()

    driver.start()
    for _ in range(3):  # the first batches are slow; the faults should hit typical ones
        sender.wait_for_output()
    faults = {f"job killed, {number}": kill_job for number in range(1, 5)}
    for name, fault in (faults | {"broker stopped": stop_broker, "job and broker killed": kill_job_and_broker}).items():
        sender.send_until_in_batch()
        in_batch = driver.in_batch()
        fault()
        ended = time.monotonic()
        if not driver.is_running():
            driver.start()
        sender.wait_for_output()
        position = "in a batch" if in_batch else "between two batches"
        print(f"{name} {position}: output after {time.monotonic() - ended:.1f} s")
        sender.check()
    assert driver.stop() == 0, driver.log_tail()

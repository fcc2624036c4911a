"""The features job after faults: output flows again, and every window is as if nothing had happened."""

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
"""Seconds; how long the broker stays away is the fault itself."""

STATIONS = [*(f"station-{n}" for n in range(5)), "new-york"]
BEHIND = {"station-0": timedelta(minutes=6)}
"""Stations whose clocks are slow."""


class Story:
    """What was sent to a job, round by round, ten seconds of the stations' time each."""

    def __init__(self, driver: Driver, servers: str, start: datetime):
        self.driver, self._servers, self._start = driver, servers, start
        self._round = 0
        self._sent: list[dict[str, Any]] = []
        self._rubbish: list[bytes] = []

    def go_on(self) -> dict[int, int]:
        """Send another round: an observation of each station, and something that is none; the topic's ends."""
        self._round += 1
        now = self._start + timedelta(seconds=10 * self._round)
        new = [
            observe(name, now + timedelta(seconds=n) - BEHIND.get(name, timedelta()), 100 * self._round + n)
            for n, name in enumerate(STATIONS)
        ]
        self._sent += new
        self._rubbish.append(b"no observation %d" % self._round)
        return send(self._servers, [*keyed(new), (None, self._rubbish[-1])])

    def until_in_a_batch(self) -> None:
        """Go on until a batch is begun, and to a random place in it."""
        lasted = self.driver.wait_for(
            "line about a batch", lambda: [line["ms"] for line in self.driver.progress() if "ms" in line]
        )

        def begun() -> bool:
            self.go_on()
            return self.driver.in_batch()

        self.driver.wait_for("begun batch", begun)
        time.sleep(random.uniform(0, min(lasted) / 1000))

    def until_output_flows(self) -> None:
        """Send a new observation, and read `weather-features` until a window holds it."""
        consumer = KafkaConsumer(bootstrap_servers=self._servers, enable_auto_commit=False)
        try:
            partitions = [TopicPartition(FEATURES, number) for number in consumer.partitions_for_topic(FEATURES)]
            consumer.assign(partitions)
            for partition, end in consumer.end_offsets(partitions).items():
                consumer.seek(partition, end)
            ends = self.go_on()
            newest = self._sent[-1]

            def there() -> bool:
                polled = consumer.poll(timeout_ms=200).values()
                records = [json.loads(message.value) for messages in polled for message in messages]
                return any(
                    record["station_id"] == newest["station_id"]
                    and time_of(record["aggregated_features"]["last_observation"]) == time_of(newest["timestamp"])
                    for record in records
                )

            self.driver.wait_for(f"window of {newest['station_id']} at {newest['timestamp']}", there)
        finally:
            consumer.close()
        self.driver.wait_until_read(ends)

    def check(self) -> None:
        """Every window is the oracle's, and what is no observation lies in `weather-rejected`."""
        assert differences(features_on_topic(self._servers), expected_features(self._sent, ELEVATIONS))[:20] == []
        assert sorted(value or b"" for _, _, value in rejected_on_topic(self._servers)) == sorted(self._rubbish)


@pytest.mark.timeout(3600)
def test_output_flows_again_after_each_fault(driver: Driver, fresh_broker: TestBroker, start: datetime) -> None:
    """`pytest -s` shows the seconds from each cause's end to the first window of a new observation."""
    story = Story(driver, fresh_broker.bootstrap_servers, start)

    def killed() -> None:
        driver.kill()

    def broker_away() -> None:
        fresh_broker.stop()
        time.sleep(OUTAGE)
        fresh_broker.start()

    def both() -> None:
        driver.kill()
        fresh_broker.stop(signal.SIGKILL)
        time.sleep(OUTAGE)
        fresh_broker.start()

    driver.start()
    for _ in range(3):  # the first batches are slow, and it is the usual ones that are to be struck
        story.until_output_flows()
    faults = {f"killed in a batch, {number}": killed for number in range(1, 5)}
    for name, fault in (faults | {"broker away": broker_away, "killed and broker away": both}).items():
        story.until_in_a_batch()
        in_batch = driver.in_batch()
        fault()
        ended = time.monotonic()
        if not driver.lives():
            driver.start()
        story.until_output_flows()
        where = "within a batch" if in_batch else "between two batches"
        print(f"{name}, struck {where}: output again after {time.monotonic() - ended:.1f} s")
        story.check()
    assert driver.stop() == 0, driver.last_words()

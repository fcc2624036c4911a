"""At which rate observations come, in bursts or after silence, changes no window."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from kafka import KafkaProducer

from tests.conftest import TestBroker
from tests.oracle import differences, expected_features, time_of
from tests.spark_jobs.driver import Driver, ends, read_all, send
from tests.spark_jobs.messages import features_on_topic, keyed, observe
from weatherglass.topics import FEATURES, RAW

pytestmark = pytest.mark.integration

MESSAGES = 45

RHYTHMS: dict[str, Callable[[int], float]] = {
    "1-per-second": lambda n: n,
    "10-per-second": lambda n: n / 10,
    "100-per-second": lambda n: n / 100,
    "burst": lambda n: 0.0,
    "burst-and-silence": lambda n: n // 15 * 20.0,
}
"""Seconds after the first at which message n is sent."""


@pytest.mark.timeout(1800)
def test_the_rhythm_changes_no_window(driver: Driver, fresh_broker: TestBroker, start: datetime) -> None:
    """The same observations to one job, each rhythm with stations of its own."""
    servers = fresh_broker.bootstrap_servers
    driver.start()
    # the job is at work before the rhythms begin, or its first batch would hold them all
    driver.wait_until_read(send(servers, keyed([observe("first", start, 0)])))

    series = _series(start)
    planned = [(at(n), f"{name}-", one) for name, at in RHYTHMS.items() for n, one in enumerate(series)]
    _send(servers, sorted(planned, key=lambda due: due[0]))
    driver.wait_until_read(ends(servers, RAW))
    assert driver.stop() == 0, driver.last_words()

    found, expected = features_on_topic(servers), expected_features(series)
    for name in RHYTHMS:
        prefix = f"{name}-"
        of_rhythm = {
            (station.removeprefix(prefix), end): window
            for (station, end), window in found.items()
            if station.removeprefix(prefix) in {"a", "b", "c"}
        }
        assert differences(of_rhythm, expected)[:20] == [], name
    slow = [record for record in read_all(servers, FEATURES) if record.key.startswith(b"1-per-second-")]
    assert len(slow) > len(expected), "the slow rhythm took more than one batch"


def _series(start: datetime) -> list[dict[str, Any]]:
    """Of three stations within ten minutes, so that no window closes in any rhythm; a third comes out of order, a third
    once more, revised or as it was."""
    draw = random.Random(5)
    series = []
    for n in range(MESSAGES):
        station, at = "abc"[n % 3], start + timedelta(seconds=9 * n)
        if n % 9 in (3, 4, 5):
            at -= timedelta(seconds=draw.randint(40, 200))
        if n % 9 in (6, 7, 8):
            before = series[n - 3]
            series.append(draw.choice([before, observe(station, time_of(before["timestamp"]), 1000 + n)]))
        else:
            series.append(observe(station, at, n))
    return series


def _send(servers: str, planned: list[tuple[float, str, dict[str, Any]]]) -> None:
    """Each observation at its time, seconds from now, its station's name with a prefix."""
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    try:
        begin = time.monotonic()
        for due, prefix, observation in planned:
            time.sleep(max(0.0, begin + due - time.monotonic()))  # the rhythm is what is tested
            station = prefix + observation["station_id"]
            producer.send(RAW, key=station.encode(), value=json.dumps(observation | {"station_id": station}).encode())
        producer.flush()
    finally:
        producer.close()

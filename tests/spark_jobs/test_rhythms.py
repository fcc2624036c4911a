"""The rate at which observations arrive, in bursts or after pauses, changes no window."""

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

RATES: dict[str, Callable[[int], float]] = {
    "1-per-second": lambda n: n,
    "10-per-second": lambda n: n / 10,
    "100-per-second": lambda n: n / 100,
    "burst": lambda n: 0.0,
    "bursts-with-pauses": lambda n: n // 15 * 20.0,
}
"""Time at which message n is sent, in seconds after the first."""


@pytest.mark.timeout(1800)
def test_the_arrival_rate_changes_no_window(driver: Driver, fresh_broker: TestBroker, start: datetime) -> None:
    """One job receives the same observations at each rate, under different station ids."""
    servers = fresh_broker.bootstrap_servers
    driver.start()
    # the job must be running before the first message; otherwise one batch would contain them all
    driver.wait_until_read(send(servers, keyed([observe("first", start, 0)])))

    series = _series(start)
    planned = [(at(n), f"{name}-", one) for name, at in RATES.items() for n, one in enumerate(series)]
    _send(servers, sorted(planned, key=lambda due: due[0]))
    driver.wait_until_read(ends(servers, RAW))
    assert driver.stop() == 0, driver.log_tail()

    features, expected = features_on_topic(servers), expected_features(series)
    for name in RATES:
        prefix = f"{name}-"
        of_rate = {
            (station.removeprefix(prefix), end): window
            for (station, end), window in features.items()
            if station.removeprefix(prefix) in {"a", "b", "c"}
        }
        assert differences(of_rate, expected)[:20] == [], name
    slow = [record for record in read_all(servers, FEATURES) if record.key.startswith(b"1-per-second-")]
    assert len(slow) > len(expected), "the slow rate takes more than one batch"


def _series(start: datetime) -> list[dict[str, Any]]:
    """Observations of three stations within ten minutes, so that no window closes at any rate. One third is out of
    order, another third repeats earlier observations, revised or unchanged."""
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
    """Publish each observation at its time, seconds from now, with a prefix to its station id."""
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    try:
        begin = time.monotonic()
        for due, prefix, observation in planned:
            time.sleep(max(0.0, begin + due - time.monotonic()))  # the rate is the subject of the test
            station = prefix + observation["station_id"]
            producer.send(RAW, key=station.encode(), value=json.dumps(observation | {"station_id": station}).encode())
        producer.flush()
    finally:
        producer.close()

"""The features job as it runs: spark-submit, the real broker, bad input, late rows, a torn checkpoint.

What faults do to it is in `test_recovery.py`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from kafka.admin import KafkaAdminClient, NewPartitions
from pyspark.sql import SparkSession

from spark_jobs.backfill_features import backfill
from tests.conftest import TestBroker
from tests.oracle import differences, expected_features, time_of
from tests.spark_jobs.driver import Driver, committed, ends, send
from tests.spark_jobs.messages import ELEVATIONS, features_on_topic, keyed, observe, rejected_on_topic
from weatherglass.records import iso
from weatherglass.settings import LOOPBACK
from weatherglass.topics import RAW, REJECTED

pytestmark = pytest.mark.integration


@pytest.mark.timeout(1800)
def test_bad_input_and_late_rows(
    driver: Driver, fresh_broker: TestBroker, start: datetime, spark: SparkSession
) -> None:
    """One life of the job, with all that may come to it; at its end every window is as if nothing else had."""
    servers = fresh_broker.bootstrap_servers
    sent, bad = _rubbish(start)
    driver.start()
    driver.wait_until_read(send(servers, [*keyed(sent), *((b"\x00\x01", value) for value, _ in bad)]))
    assert {ip.removeprefix("::ffff:") for ip in driver.listening_on()} == {LOOPBACK}
    metrics = requests.get(f"http://{LOOPBACK}:{driver.settings.spark_ui_port}/metrics/prometheus/", timeout=60).text
    assert "metrics_weatherglass_driver_spark_streaming_features_states_rowsTotal_Value" in metrics
    # told after the batch is committed
    driver.wait_for("line with what was refused", lambda: _told(driver, "rejected", "malformed_json"))
    driver.wait_for("line with values that failed", lambda: _told(driver, "failed_values", "range"))

    for phase in _minutes(start):
        send(servers, keyed(phase))
        sent += phase
    driver.wait_until_read(ends(servers, RAW))

    # a topic with more partitions than before; now a station's revision may lie on another one
    _add_partitions(servers, 7)
    revised = [observe(o["station_id"], time_of(o["timestamp"]), 9999) for o in sent[-6:]]
    sent += revised
    driver.wait_until_read(send(servers, keyed(revised + revised)))

    # the watermark of a batch is ten minutes before the newest observation of the batches before it
    newest = observe("oslo", start + timedelta(minutes=30), 1)
    driver.wait_until_read(send(servers, keyed([newest])))
    watermark = start + timedelta(minutes=20)
    in_time = observe("rome", watermark - timedelta(seconds=1), 2)  # its last window ends 4 minutes later
    half = observe("rome", watermark - timedelta(minutes=4), 3)  # only the last of its windows is open
    too_late = observe("rome", watermark - timedelta(minutes=5), 4)  # its last window ends with the watermark
    driver.wait_until_read(send(servers, keyed([in_time, half, too_late])))
    driver.wait_for("all rejected", lambda: sum(ends(servers, REJECTED).values()) > len(bad))

    # with nothing to do it still gives signs of life
    for _ in range(2):
        last = driver.folder.heartbeat.stat().st_mtime_ns
        driver.wait_for("sign of life", lambda last=last: driver.folder.heartbeat.stat().st_mtime_ns > last)  # type: ignore[misc]
    assert driver.stop() == 0, driver.last_words()
    assert driver.folder.outcome().ok, driver.folder.outcome()

    expected = {
        key: window
        for key, window in expected_features([*sent, newest, in_time, half], ELEVATIONS).items()
        if key[0] != "rome" or key[1] > watermark
    }
    assert differences(features_on_topic(servers), expected)[:20] == []
    found = sorted((reason, value or b"") for reason, _, value in rejected_on_topic(servers))
    assert found == sorted([("late", json.dumps(too_late).encode()), *((why, value or b"") for value, why in bad)])
    assert {key for reason, key, _ in rejected_on_topic(servers) if reason != "late"} == {b"\x00\x01"}

    assert committed(servers) == ends(servers, RAW)
    assert any(line.get("late") == 1 for line in driver.progress())

    # by batch, with the late ones: the windows that the stream had closed
    everything = [*sent, newest, in_time, half, too_late]
    assert backfill(spark, driver.settings, ["rome"], start, start + timedelta(days=1)) > 0
    assert differences(features_on_topic(servers), expected_features(everything, ELEVATIONS))[:20] == []

    _refuses_what_it_cannot_trust(driver)


def _refuses_what_it_cannot_trust(driver: Driver) -> None:
    """A torn checkpoint: the job ends at once, says what to do, and touches nothing."""
    newest = max((driver.checkpoint / "features" / "offsets").glob("[0-9]*"), key=lambda file: int(file.name))
    newest.write_text("v1\n{", encoding="utf-8")
    before = {file: file.stat().st_mtime_ns for file in driver.checkpoint.rglob("*")}
    assert driver.run() != 0
    why = driver.folder.outcome().why
    assert str(newest) in why
    assert "is torn" in why
    assert "move" in why or "remove" in why, "what to do"
    assert {file: file.stat().st_mtime_ns for file in driver.checkpoint.rglob("*")} == before


def _minutes(start: datetime) -> list[list[dict[str, Any]]]:
    """Two minutes of observations each; one station's clock is six minutes behind."""
    behind = {"station-0": timedelta(minutes=6)}
    return [
        [
            observe(name, start + timedelta(minutes=m, seconds=n) - behind.get(name, timedelta()), 100 * m + n)
            for m in (2 * part, 2 * part + 1)
            for n, name in enumerate([*(f"station-{i}" for i in range(6)), "new-york"])
        ]
        for part in range(5)
    ]


def _rubbish(start: datetime) -> tuple[list[dict[str, Any]], list[tuple[bytes | None, str]]]:
    """Good observations, and what is none of them with the reason why."""
    now = datetime.now(UTC)
    good = observe("paris", start, 0)
    text = json.dumps(good)

    def changed(**fields: Any) -> bytes:
        return json.dumps(good | fields).encode()

    rubbish: list[tuple[bytes | None, str]] = [
        (b"\xff\xfe\x00" + text.encode(), "not_utf8"),
        (None, "empty"),
        (b"", "empty"),
        (b"not json", "malformed_json"),
        (text[:57].encode(), "malformed_json"),
        (text.encode() + b" and more", "malformed_json"),
        (text.encode() + text.encode(), "malformed_json"),
        (b"[1, 2]", "wrong_type"),
        (b"null", "wrong_type"),
        (changed(temperature="3.2"), "wrong_type"),
        (changed(humidity=True), "wrong_type"),
        (changed(pressure={"value": 1}), "wrong_type"),
        (changed(station_id=7), "wrong_type"),
        (changed(timestamp=1767615300), "wrong_type"),
        (changed(temperature=float("nan")), "not_finite"),
        (changed(temperature=float("-inf")), "not_finite"),
        (text.replace(str(good["temperature"]), "1e999", 1).encode(), "not_finite"),
        (json.dumps({k: v for k, v in good.items() if k != "station_id"}).encode(), "missing_station"),
        (changed(station_id=""), "bad_station"),
        (json.dumps({k: v for k, v in good.items() if k != "timestamp"}).encode(), "missing_time"),
        (changed(timestamp="yesterday"), "bad_time"),
        (changed(timestamp="2026-02-30T12:00:00Z"), "bad_time"),
        (changed(timestamp=good["timestamp"].removesuffix("Z")), "no_zone"),
        (changed(timestamp=iso(now + timedelta(days=2))), "future"),
        (changed(timestamp="1999-01-01T00:00:00Z"), "past"),
    ]
    observations = [observe("paris", start + timedelta(seconds=20 * i), i) for i in range(10)]
    observations[3]["temperature"] = 99.0
    observations[4]["unknown"] = [1]
    return observations, rubbish


def _told(driver: Driver, kind: str, name: str) -> bool:
    return any(line.get(kind, {}).get(name) for line in driver.progress())


def _add_partitions(servers: str, total: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        admin.create_partitions({RAW: NewPartitions(total)})
    finally:
        admin.close()

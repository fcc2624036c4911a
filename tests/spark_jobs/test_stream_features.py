"""The features job with spark-submit and a real broker: invalid input, late rows, a damaged checkpoint.

`test_recovery.py` tests faults.
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
from weatherglass.stations import STATIONS_CSV
from weatherglass.topics import RAW

pytestmark = pytest.mark.integration


@pytest.mark.timeout(1800)
def test_invalid_input_and_late_rows_are_rejected_and_change_no_window(
    driver: Driver, fresh_broker: TestBroker, start: datetime, spark: SparkSession
) -> None:
    """One run of the job with every kind of input; at the end each window equals that of the oracle."""
    servers = fresh_broker.bootstrap_servers
    sent, invalid = _messages(start)
    driver.start()
    driver.wait_until_read(send(servers, [*keyed(sent), *((b"\x00\x01", value) for value, _ in invalid)]))
    assert {ip.removeprefix("::ffff:") for ip in driver.listening_addresses()} == {LOOPBACK}
    ui = f"http://{LOOPBACK}:{driver.settings.spark_ui_port}"
    assert requests.get(f"{ui}/jobs/", headers={"Host": "attacker.example"}, timeout=60).status_code == 421
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert requests.get(f"{ui}/jobs/", headers=image, timeout=60).status_code == 403
    (application,) = requests.get(f"{ui}/api/v1/applications", timeout=60).json()
    properties = requests.get(f"{ui}/api/v1/applications/{application['id']}/environment", timeout=60).json()
    assert ["spark.ui.killEnabled", "false"] in properties["sparkProperties"]
    metrics = requests.get(f"{ui}/metrics/prometheus/", timeout=60).text
    assert "metrics_weatherglass_driver_spark_streaming_features_states_rowsTotal_Value" in metrics
    # reported after the batch is committed
    driver.wait_for("report of rejected messages", lambda: _reported(driver, "rejected", "malformed_json"))
    driver.wait_for("report of failed values", lambda: _reported(driver, "failed_values", "range"))

    for phase in _minutes(start):
        send(servers, keyed(phase))
        sent += phase
    driver.wait_until_read(ends(servers, RAW))

    # after adding partitions, the revision of an observation may be on another partition
    _add_partitions(servers, 7)
    revised = [observe(o["station_id"], time_of(o["timestamp"]), 9999) for o in sent[-6:]]
    sent += revised
    driver.wait_until_read(send(servers, keyed(revised + revised)))

    # windows are closed ten minutes before the newest observation of their own station in the previous batches
    newest = [observe("oslo", start + timedelta(minutes=50), 0), observe("rome", start + timedelta(minutes=30), 1)]
    driver.wait_until_read(send(servers, keyed(newest)))
    closed = start + timedelta(minutes=20)
    in_time = observe("rome", closed - timedelta(seconds=1), 2)  # its last window ends 4 minutes later
    partly_open = observe("rome", closed - timedelta(minutes=4), 3)  # only the last of its windows is open
    too_late = observe("rome", closed - timedelta(minutes=5), 4)  # its last window is just closed
    driver.wait_until_read(send(servers, keyed([in_time, partly_open, too_late])))

    # a station that is added to the table gets its sea-level pressure, and no window changes or is lost
    table = STATIONS_CSV.read_text(encoding="utf-8") + "summit,Summit,Germany,50.2,8.4,100,Europe/Berlin,,,\n"
    driver.settings.station_table.write_text(table, encoding="utf-8")
    at_summit: list[dict[str, Any]] = []

    def elevation_is_known() -> bool:
        at_summit.append(observe("summit", start, len(at_summit)))
        driver.wait_until_read(send(servers, keyed(at_summit[-1:])))
        windows = [window for (name, _), window in features_on_topic(servers).items() if name == "summit"]
        return any(window["sea_level_pressure"] is not None for window in windows)

    driver.wait_for("sea-level pressure of the new station", elevation_is_known)
    elevations = ELEVATIONS | {"summit": 100.0}

    # an idle job records heartbeats
    for _ in range(2):
        last = driver.folder.heartbeat.stat().st_mtime_ns
        driver.wait_for("heartbeat", lambda last=last: driver.folder.heartbeat.stat().st_mtime_ns > last)  # type: ignore[misc]
    assert driver.stop() == 0, driver.log_tail()
    assert driver.folder.outcome().ok, driver.folder.outcome()

    expected = {
        key: window
        for key, window in expected_features([*sent, *newest, in_time, partly_open, *at_summit], elevations).items()
        if key[0] != "rome" or key[1] > closed
    }
    assert differences(features_on_topic(servers), expected)[:20] == []
    rejected = sorted((reason, value or b"") for reason, _, value in rejected_on_topic(servers))
    assert rejected == sorted(
        [("late", json.dumps(too_late).encode()), *((reason, value or b"") for value, reason in invalid)]
    )
    assert {key for reason, key, _ in rejected_on_topic(servers) if reason != "late"} == {b"\x00\x01"}

    assert committed(servers) == ends(servers, RAW)
    assert any(line.get("late") == 1 for line in driver.progress())

    # the batch job computes the windows that the stream had closed, with the late observations
    everything = [*sent, *newest, in_time, partly_open, *at_summit, too_late]
    assert backfill(spark, driver.settings, ["rome"], start, start + timedelta(days=1)) > 0
    assert differences(features_on_topic(servers), expected_features(everything, elevations))[:20] == []

    _check_that_a_damaged_checkpoint_stops_the_job(driver)


def _check_that_a_damaged_checkpoint_stops_the_job(driver: Driver) -> None:
    """The job ends, names the file and changes nothing."""
    newest = max((driver.checkpoint / "features" / "offsets").glob("[0-9]*"), key=lambda file: int(file.name))
    newest.write_text("v1\n{", encoding="utf-8")
    before = {file: file.stat().st_mtime_ns for file in driver.checkpoint.rglob("*")}
    assert driver.run() != 0
    reason = driver.folder.outcome().reason
    assert reason.startswith("CheckpointError")
    assert str(newest) in reason
    assert {file: file.stat().st_mtime_ns for file in driver.checkpoint.rglob("*")} == before


def _minutes(start: datetime) -> list[list[dict[str, Any]]]:
    """Five lists of observations of two minutes each; the clock of one station is six minutes behind."""
    behind = {"station-0": timedelta(minutes=6)}
    return [
        [
            observe(name, start + timedelta(minutes=m, seconds=n) - behind.get(name, timedelta()), 100 * m + n)
            for m in (2 * step, 2 * step + 1)
            for n, name in enumerate([*(f"station-{i}" for i in range(6)), "new-york"])
        ]
        for step in range(5)
    ]


def _messages(start: datetime) -> tuple[list[dict[str, Any]], list[tuple[bytes | None, str]]]:
    """Valid observations, and invalid messages with the expected reason."""
    now = datetime.now(UTC)
    valid = observe("paris", start, 0)
    text = json.dumps(valid)

    def changed(**fields: Any) -> bytes:
        return json.dumps(valid | fields).encode()

    invalid: list[tuple[bytes | None, str]] = [
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
        (text.replace(str(valid["temperature"]), "1e999", 1).encode(), "not_finite"),
        (json.dumps({k: v for k, v in valid.items() if k != "station_id"}).encode(), "missing_station"),
        (changed(station_id=""), "bad_station"),
        (changed(station_id="../paris"), "bad_station"),
        (json.dumps({k: v for k, v in valid.items() if k != "timestamp"}).encode(), "missing_time"),
        (changed(timestamp="yesterday"), "bad_time"),
        (changed(timestamp="2026-02-30T12:00:00Z"), "bad_time"),
        (changed(timestamp=valid["timestamp"].removesuffix("Z")), "no_zone"),
        (changed(timestamp=iso(now + timedelta(days=2))), "future"),
        (changed(timestamp="1999-01-01T00:00:00Z"), "past"),
    ]
    observations = [observe("paris", start + timedelta(seconds=20 * i), i) for i in range(10)]
    observations[3]["temperature"] = 99.0
    observations[4]["unknown"] = [1]
    return observations, invalid


def _reported(driver: Driver, kind: str, name: str) -> bool:
    return any(line.get(kind, {}).get(name) for line in driver.progress())


def _add_partitions(servers: str, total: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        admin.create_partitions({RAW: NewPartitions(total)})
    finally:
        admin.close()

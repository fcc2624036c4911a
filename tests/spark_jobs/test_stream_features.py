"""The features job as it runs: spark-submit, the real broker, bad input, crashes, late rows."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from kafka.admin import KafkaAdminClient

from tests.conftest import TestBroker
from tests.oracle import Features, differences, expected_features, time_of
from tests.spark_jobs.driver import Driver, ends, read_all, send
from weatherglass.records import Observation, iso, json_schema
from weatherglass.settings import LOOPBACK
from weatherglass.topics import FEATURES, RAW, REJECTED, SPARK_GROUP

pytestmark = pytest.mark.integration


@pytest.fixture
def driver(fresh_broker: TestBroker, tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(fresh_broker.settings, tmp_path / "jobs" / "stream_features")
    yield driver
    driver.kill()


@pytest.fixture
def start() -> datetime:
    """An hour ago, on the minute: the stream judges future and past by the clock."""
    return (datetime.now(UTC) - timedelta(hours=1)).replace(second=0, microsecond=0)


def observe(station: str, time: datetime, seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    record = Observation(
        station_id=station,
        timestamp=time,
        temperature=round(draw.gauss(12, 3), 1),
        humidity=draw.randint(40, 100),
        pressure=round(draw.gauss(1000, 5), 1),
        wind_speed=round(draw.uniform(0, 9), 2),
        wind_direction=draw.choice([None, draw.randint(0, 360)]),
    )
    return json.loads(record.to_json())


def keyed(observations: list[dict[str, Any]]) -> list[tuple[bytes | None, bytes | None]]:
    return [(o["station_id"].encode(), json.dumps(o).encode()) for o in observations]


def features_on_topic(servers: str) -> Features:
    """The last record of each (station, window end); every record is held against the published schema."""
    schema = jsonschema.Draft202012Validator(json_schema("window-features"))
    last: Features = {}
    for message in read_all(servers, FEATURES):
        record = json.loads(message.value)
        schema.validate(record)
        assert message.key.decode() == record["station_id"]
        headers = dict(message.headers)
        assert headers["schema"] == b"window-features/1"
        assert time_of(headers["produced_at"].decode())
        last[record["station_id"], time_of(record["window_end"])] = record["aggregated_features"]
    return last


def rejected_on_topic(servers: str) -> dict[tuple[int, int], tuple[str, bytes | None, bytes | None]]:
    """(reason, key, value) of each rejected message by where it came from."""
    found = {}
    for message in read_all(servers, REJECTED):
        headers = {name: value.decode() for name, value in message.headers}
        assert headers["topic"] == RAW
        origin = (int(headers["partition"]), int(headers["offset"]))
        assert origin not in found, "rejected twice"
        found[origin] = (headers["reason"], message.key, message.value)
    return found


def test_bad_input_never_stops_the_stream(driver: Driver, fresh_broker: TestBroker, start: datetime) -> None:
    servers = fresh_broker.bootstrap_servers
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
    observations = [observe("paris", start + timedelta(seconds=20 * i), i) for i in range(30)]
    extra = [*keyed(observations[:10]), (b"paris", json.dumps({**observations[10], "unknown": [1]}).encode())]
    bad: list[tuple[bytes | None, bytes | None]] = [(b"\x00\x01", value) for value, _ in rubbish]
    driver.start()
    driver.wait_until_read(send(servers, [*extra, *bad, *keyed(observations[11:20])]))
    driver.wait_until_read(send(servers, keyed(observations[20:])))
    assert {ip.removeprefix("::ffff:") for ip in driver.listening_on()} == {LOOPBACK}

    driver.wait_for("all rejected", lambda: sum(ends(servers, REJECTED).values()) >= len(rubbish))
    found = sorted((reason, value or b"") for reason, key, value in rejected_on_topic(servers).values())
    assert found == sorted((reason, value or b"") for value, reason in rubbish)
    assert {key for _, key, _ in rejected_on_topic(servers).values()} == {b"\x00\x01"}
    assert differences(features_on_topic(servers), expected_features(observations)) == []

    assert driver.stop() == 0, driver.last_words()
    assert driver.folder.outcome().ok, driver.folder.outcome()
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        committed = admin.list_group_offsets({SPARK_GROUP: None})[SPARK_GROUP]
    finally:
        admin.close()
    assert {p.partition: o.offset for p, o in committed.items()} == ends(servers, RAW)
    assert any("malformed_json" in line.get("rejected", {}) for line in driver.progress())


def test_killed_in_the_middle_of_batches(driver: Driver, fresh_broker: TestBroker, start: datetime) -> None:
    servers = fresh_broker.bootstrap_servers
    checkpoint = driver.folder.path / "checkpoint" / "features"
    stations = [f"station-{n}" for n in range(6)]
    minutes = [
        [observe(s, start + timedelta(minutes=m, seconds=n), 100 * m + n) for n, s in enumerate(stations)]
        for m in range(12)
    ]
    driver.start()
    sent: list[dict[str, Any]] = []
    for part in (minutes[:4], minutes[4:8]):
        observations = [o for minute in part for o in minute]
        send(servers, keyed(observations))
        sent += observations
        begun = driver.wait_for("begun batch", lambda: _unfinished(checkpoint))
        driver.kill()
        assert begun
        driver.start()
    rest = [o for minute in minutes[8:] for o in minute]
    revised = [observe(o["station_id"], time_of(o["timestamp"]), 9999) for o in rest[:5]]
    sent += rest + revised + revised
    driver.wait_until_read(send(servers, keyed(rest + revised + revised)))
    assert driver.stop() == 0, driver.last_words()
    assert differences(features_on_topic(servers), expected_features(sent)) == []
    assert rejected_on_topic(servers) == {}


def _unfinished(checkpoint: Path) -> bool:
    begun = {file.name for file in (checkpoint / "offsets").glob("[0-9]*")}
    return bool(begun - {file.name for file in (checkpoint / "commits").glob("[0-9]*")})


def test_what_no_window_takes_is_rejected_as_late(driver: Driver, fresh_broker: TestBroker, start: datetime) -> None:
    """The watermark of a batch is ten minutes before the newest observation of the batches before it."""
    servers = fresh_broker.bootstrap_servers
    newest = observe("oslo", start + timedelta(minutes=30), 1)
    watermark = start + timedelta(minutes=20)
    driver.start()
    driver.wait_until_read(send(servers, keyed([newest])))
    in_time = observe("rome", watermark - timedelta(seconds=1), 2)  # its last window ends 4 minutes later
    half = observe("rome", watermark - timedelta(minutes=4), 3)  # only the last of its windows is open
    too_late = observe("rome", watermark - timedelta(minutes=5), 4)  # its last window ends with the watermark
    driver.wait_until_read(send(servers, keyed([in_time, half, too_late])))
    driver.wait_for("the late row", lambda: sum(ends(servers, REJECTED).values()) >= 1)
    assert driver.stop() == 0, driver.last_words()

    assert [(reason, json.loads(value or b"")) for reason, _, value in rejected_on_topic(servers).values()] == [
        ("late", too_late)
    ]
    expected = expected_features([newest, in_time, half])
    open_ = {key: window for key, window in expected.items() if key[1] > watermark or key[0] == "oslo"}
    assert differences(features_on_topic(servers), open_) == []

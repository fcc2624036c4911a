"""A checkpoint of an older format: the job goes on from it, and every window is as if nothing had changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from spark_jobs.checkpoint import CheckpointError, check, is_older
from spark_jobs.checkpoint_migration import CheckpointMigration, migrate_checkpoint
from tests.conftest import TestBroker
from tests.oracle import differences, expected_features, time_of
from tests.spark_jobs.driver import Driver, ends
from tests.spark_jobs.messages import ELEVATIONS, features_on_topic, observe, rejected_on_topic
from weatherglass.settings import PROJECT_ROOT
from weatherglass.topics import RAW

TOLERANCE = timedelta(minutes=5)
WATERMARK = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The logs of an older checkpoint with one batch; its format was not noted yet."""
    for log, content in {
        "offsets": f'v1\n{{"batchWatermarkMs":{int(WATERMARK.timestamp() * 1000)}}}\n{{"{RAW}":{{"0":50,"1":7}}}}',
        "commits": 'v1\n{"nextBatchWatermarkMs":0}',
    }.items():
        (tmp_path / "features" / log).mkdir(parents=True)
        (tmp_path / "features" / log / "0").write_text(content, encoding="utf-8")
    return tmp_path


def arrived_since(time: datetime) -> dict[str, int]:
    assert time == WATERMARK - timedelta(minutes=5) - TOLERANCE
    return {"0": 20, "1": 9, "2": 0}


def test_begins_where_the_oldest_open_window_does(older: Path) -> None:
    check(older, ["features"])
    taken = migrate_checkpoint(older, "features", TOLERANCE, arrived_since)
    assert taken == CheckpointMigration(
        int(WATERMARK.timestamp() * 1000), {"0": 20, "1": 7, "2": -2}, {"0": 50, "1": 7}
    )
    assert CheckpointMigration.noted(older) == taken
    assert not is_older(older)
    assert (older / "features-format-1" / "commits" / "0").exists(), "kept"


def test_a_crash_in_between_is_made_good_by_the_next_start(older: Path) -> None:
    def crash(_: datetime) -> dict[str, int]:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        migrate_checkpoint(older, "features", TOLERANCE, crash)
    check(older, ["features"])
    assert is_older(older)
    assert migrate_checkpoint(older, "features", TOLERANCE, arrived_since)


def test_what_an_earlier_upgrade_left_is_not_overwritten(older: Path) -> None:
    (older / "features-format-1").mkdir()
    with pytest.raises(CheckpointError, match=r"move .*features-format-1 away"):
        migrate_checkpoint(older, "features", TOLERANCE, arrived_since)


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_goes_on_from_state_that_it_cannot_read(fresh_broker: TestBroker) -> None:
    """State of built-in windows that gather rows; messages so old that they are not read again; a crash."""
    servers = fresh_broker.bootstrap_servers
    _timestamps_of_the_sender(servers)
    start = (datetime.now(UTC) - timedelta(hours=1)).replace(second=0, microsecond=0)
    driver = Driver(fresh_broker.settings, fresh_broker.settings.jobs_dir / "stream_features")
    job, driver.script = driver.script, PROJECT_ROOT / "tests" / "spark_jobs" / "older_job.py"

    sent = _minutes(start, 0, 40)
    _send(servers, sent)
    assert driver.run() == 0, driver.last_words()
    more = _minutes(start, 40, 42)
    more[-1]["temperature"] = 99.0
    _send(servers, more)
    assert driver.run() == 0, driver.last_words()  # the watermark is at 29:40 now

    revised = [observe("station-1", start + timedelta(minutes=m), 9000 + m) for m in (30, 41)]
    late = [observe("station-1", start + timedelta(minutes=m), 9000 + m) for m in (3, 20)]
    newest = _minutes(start, 42, 44)
    newest[-1]["temperature"] = 99.0
    _send(servers, [*revised, *late, *newest], arrived=start + timedelta(minutes=44))
    driver.script = job
    try:
        driver.start()
        driver.wait_for("takeover", lambda: (driver.checkpoint / "features-format-1").exists())
        driver.kill()
        driver.start()
        driver.wait_until_read(ends(servers, RAW))
        everything = [*sent, *more, *revised, *newest]
        assert differences(features_on_topic(servers), expected_features(everything, ELEVATIONS))[:20] == []
        driver.wait_for("late", lambda: any(line.get("late") for line in driver.progress()))
        assert driver.stop() == 0, driver.last_words()
    finally:
        driver.kill()

    taken = CheckpointMigration.noted(driver.checkpoint)
    assert taken
    assert any(offset > 0 for offset in taken.start.values()), "not everything was read again"
    assert any("takes over" in line["said"] for line in driver.progress())
    failed = [line.get("failed_values", {}).get("range", 0) for line in driver.progress()]
    assert sum(failed) == 1, "the newest; that of the minutes before was counted by the older job"
    assert sorted((reason, value) for reason, _, value in rejected_on_topic(servers)) == sorted(
        ("late", json.dumps(one).encode()) for one in late
    )


def _minutes(start: datetime, first: int, end: int) -> list[dict[str, Any]]:
    """An observation of each of three stations every twenty seconds."""
    return [
        observe(f"station-{n}", start + timedelta(seconds=20 * i), 10 * i + n)
        for i in range(3 * first, 3 * end)
        for n in range(3)
    ]


def _send(servers: str, observations: list[dict[str, Any]], arrived: datetime | None = None) -> None:
    """Each arrives when it is observed, or all at one time."""
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    for one in observations:
        at = int((arrived or time_of(one["timestamp"])).timestamp() * 1000)
        producer.send(RAW, key=one["station_id"].encode(), value=json.dumps(one).encode(), timestamp_ms=at)
    producer.flush()
    producer.close()


def _timestamps_of_the_sender(servers: str) -> None:
    """The broker would set the time of arrival, and the test would take as long as what it tells."""
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, RAW, {"message.timestamp.type": "CreateTime"})])
    finally:
        admin.close()

"""Migration of a checkpoint of an older format: the job continues from it, and no window changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from spark_jobs.checkpoint import CheckpointError, Remedy, check_checkpoint, is_older_format
from spark_jobs.checkpoint_migration import CheckpointMigration, migrate_checkpoint
from tests.conftest import TestBroker
from tests.oracle import differences, expected_features, time_of
from tests.spark_jobs.driver import Driver, ends, send
from tests.spark_jobs.messages import ELEVATIONS, features_on_topic, observe, rejected_on_topic
from tests.waiting import until
from weatherglass.records import iso
from weatherglass.settings import PROJECT_ROOT
from weatherglass.topics import RAW

TOLERANCE = timedelta(minutes=5)
WATERMARK = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The logs of a checkpoint of the first format, which had no format file, with one batch."""
    checkpoint = tmp_path / "checkpoint"
    _write_batch(checkpoint / "features", 0, {"0": 50, "1": 7}, WATERMARK)
    return checkpoint


def _write_batch(query: Path, number: int, read: dict[str, int], watermark: datetime) -> None:
    """The entries of a finished batch in the logs of a query."""
    for log, content in {
        "offsets": f'v1\n{{"batchWatermarkMs":{int(watermark.timestamp() * 1000)}}}\n{json.dumps({RAW: read})}',
        "commits": 'v1\n{"nextBatchWatermarkMs":0}',
    }.items():
        (query / log).mkdir(parents=True, exist_ok=True)
        (query / log / str(number)).write_text(content, encoding="utf-8")


def offsets_since(time: datetime) -> dict[str, int]:
    assert time == WATERMARK - timedelta(minutes=5) - TOLERANCE
    return {"0": 20, "1": 9, "2": 0}


def test_the_new_query_starts_at_the_oldest_open_window(older: Path) -> None:
    check_checkpoint(older, ["features"])
    migration = migrate_checkpoint(older, "features", RAW, TOLERANCE, offsets_since)
    assert migration == CheckpointMigration(
        int(WATERMARK.timestamp() * 1000), {"0": 20, "1": 7, "2": -2}, {"0": 50, "1": 7}, {"0": 50, "1": 7}
    )
    assert CheckpointMigration.load(older) == migration
    assert not is_older_format(older)
    assert (older / "features-format-1" / "commits" / "0").exists(), "the old query is kept"


def test_a_checkpoint_of_a_topic_with_another_prefix_is_not_changed(older: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        migrate_checkpoint(older, "features", f"trial-{RAW}", TOLERANCE, offsets_since)
    assert error.value.remedy == Remedy.SET_PREFIX
    assert is_older_format(older)
    assert (older / "features").exists()


def test_a_migration_records_its_topic(older: Path) -> None:
    for log in (older / "features" / "offsets").iterdir():
        log.write_text(log.read_text().replace(RAW, f"trial-{RAW}"))
    migrate_checkpoint(older, "features", f"trial-{RAW}", TOLERANCE, offsets_since)
    migration = CheckpointMigration.load(older)
    assert migration
    assert migration.topic == f"trial-{RAW}"


@pytest.fixture
def second(older: Path) -> Path:
    """A checkpoint of the second format, with the logs of both queries."""
    (older / "format.json").write_text('{"format": 2}', encoding="utf-8")
    _write_batch(older / "rejected", 4, {"0": 18, "1": 6}, datetime.fromtimestamp(0, UTC))
    return older


@pytest.mark.parametrize(
    ("late", "rejected"),
    [
        (None, {"0": 18, "1": 6}),
        ("", {"0": 18, "1": 6}),
        ("{", {"0": 18, "1": 6}),
        (json.dumps({"batch": 0, "end": {RAW: {"0": 17, "1": 7}}}), {"0": 17, "1": 6}),
        # of a checkpoint that was replaced
        (json.dumps({"batch": 9, "end": {RAW: {"0": 17, "1": 7}}}), {"0": 18, "1": 6}),
    ],
)
def test_what_the_second_format_had_not_published_is_read_again(
    second: Path, late: str | None, rejected: dict[str, int]
) -> None:
    late_file = second.parent / "late.json"
    if late is not None:
        late_file.write_text(late, encoding="utf-8")
    migration = migrate_checkpoint(second, "features", RAW, TOLERANCE, offsets_since)
    assert migration
    assert (migration.read_offsets, migration.rejected_offsets) == ({"0": 50, "1": 7}, rejected)
    assert migration.start_offsets == {"0": rejected["0"], "1": 6, "2": -2}
    assert CheckpointMigration.load(second) == migration
    assert {path.name for path in second.iterdir()} == {"features-format-2", "rejected-format-2", "format.json"}
    assert not late_file.exists()


def test_without_a_finished_batch_of_the_rejected_query_everything_is_read_again(second: Path) -> None:
    (second / "rejected" / "commits" / "4").unlink()
    migration = migrate_checkpoint(second, "features", RAW, TOLERANCE, offsets_since)
    assert migration
    assert migration.rejected_offsets == {}
    assert set(migration.start_offsets.values()) == {-2}


@pytest.mark.parametrize("batch_after", [True, False])
def test_a_migration_to_the_second_format_stays_in_force(second: Path, batch_after: bool) -> None:
    """The windows that the first format had closed stay closed, even if no batch was finished after its migration."""
    closed = WATERMARK + timedelta(minutes=20)
    taken_over = {"closed": round(closed.timestamp() * 1000), "start": {"0": 1}, "read": {"0": 5}}
    (second / "format.json").write_text(json.dumps({"format": 2, "taken_over": taken_over}), encoding="utf-8")
    if not batch_after:
        (second / "features" / "commits" / "0").unlink()
    asked: list[datetime] = []

    def record(time: datetime) -> dict[str, int]:
        asked.append(time)
        return {"0": 3}

    migration = migrate_checkpoint(second, "features", RAW, TOLERANCE, record)
    assert migration
    assert asked == [closed - timedelta(minutes=5) - TOLERANCE]
    assert migration.closed_until == taken_over["closed"]
    assert migration.read_offsets == ({"0": 50, "1": 7} if batch_after else {"0": 5})


def test_the_migration_can_be_repeated_after_a_crash(older: Path) -> None:
    def crash(_: datetime) -> dict[str, int]:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        migrate_checkpoint(older, "features", RAW, TOLERANCE, crash)
    check_checkpoint(older, ["features"])
    assert is_older_format(older)
    assert migrate_checkpoint(older, "features", RAW, TOLERANCE, offsets_since)


def test_a_folder_of_an_earlier_migration_is_not_overwritten(older: Path) -> None:
    (older / "features-format-1").mkdir()
    with pytest.raises(CheckpointError, match="features-format-1") as error:
        migrate_checkpoint(older, "features", RAW, TOLERANCE, offsets_since)
    assert error.value.remedy == Remedy.MOVE_OLD_COPY


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_the_job_continues_from_a_checkpoint_of_the_first_format(fresh_broker: TestBroker) -> None:
    """State of Spark's built-in windows, messages too old to be read again, and a crash after the migration."""
    servers = fresh_broker.bootstrap_servers
    _use_timestamps_of_the_producer(servers)
    start = (datetime.now(UTC) - timedelta(hours=1)).replace(second=0, microsecond=0)
    driver = Driver(fresh_broker.settings, fresh_broker.settings.jobs_dir / "stream_features")
    job, driver.script = driver.script, PROJECT_ROOT / "tests" / "spark_jobs" / "older_job.py"

    sent = _minutes(start, 0, 40)
    _send(servers, sent)
    assert driver.run() == 0, driver.log_tail()
    published = {str(partition): end for partition, end in ends(servers, RAW).items()}
    _write_batch(driver.checkpoint / "rejected", 0, published, start)
    send(servers, [(b"key", b"not published by the older job")])
    more = _minutes(start, 40, 42)
    more[-1]["temperature"] = 99.0
    _send(servers, more)
    assert driver.run() == 0, driver.log_tail()  # the watermark is at 29:40 now

    revised = [observe("station-1", start + timedelta(minutes=m), 9000 + m) for m in (30, 41)]
    late = [observe("station-1", start + timedelta(minutes=m), 9000 + m) for m in (3, 20)]
    newest = _minutes(start, 42, 44)
    newest[-1]["temperature"] = 99.0
    _send(servers, [*revised, *late, *newest], arrived=start + timedelta(minutes=44))
    driver.script = job
    try:
        driver.start()
        driver.wait_for("report of the migration", driver.progress)
        assert (driver.checkpoint / "features-format-1").exists()
        driver.kill()
        driver.start()
        driver.wait_until_read(ends(servers, RAW))
        everything = [*sent, *more, *revised, *newest]
        assert differences(features_on_topic(servers), expected_features(everything, ELEVATIONS))[:20] == []
        driver.wait_for("late", lambda: any(line.get("late") for line in driver.progress()))
        assert driver.stop() == 0, driver.log_tail()
    finally:
        driver.kill()

    migration = CheckpointMigration.load(driver.checkpoint)
    assert migration
    assert any(offset > 0 for offset in migration.start_offsets.values()), "not everything is read again"
    closed_until = iso(datetime.fromtimestamp(migration.closed_until / 1000, UTC))
    assert any(closed_until in line["message"] for line in driver.progress()), "the migration is reported"
    failed = [line.get("failed_values", {}).get("range", 0) for line in driver.progress()]
    assert sum(failed) == 1, "the older job has counted the other one"
    assert sorted((reason, value) for reason, _, value in rejected_on_topic(servers)) == sorted(
        [("malformed_json", b"not published by the older job")] + [("late", json.dumps(one).encode()) for one in late]
    )


def _minutes(start: datetime, first: int, end: int) -> list[dict[str, Any]]:
    """Observations of three stations every twenty seconds, from minute `first` to minute `end`."""
    return [
        observe(f"station-{n}", start + timedelta(seconds=20 * i), 10 * i + n)
        for i in range(3 * first, 3 * end)
        for n in range(3)
    ]


def _send(servers: str, observations: list[dict[str, Any]], arrived: datetime | None = None) -> None:
    """Publish observations with their own time as arrival time, or all with the same one."""
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    for one in observations:
        at = int((arrived or time_of(one["timestamp"])).timestamp() * 1000)
        producer.send(RAW, key=one["station_id"].encode(), value=json.dumps(one).encode(), timestamp_ms=at)
    producer.flush()
    producer.close()


def _use_timestamps_of_the_producer(servers: str) -> None:
    """Otherwise the broker sets the arrival time, and the test would run in real time.

    Sends invalid messages until the broker uses the new configuration.
    """
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, RAW, {"message.timestamp.type": "CreateTime"})])
    finally:
        admin.close()
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")

    def stamped() -> bool:
        sent = producer.send(RAW, b"published by the older job", timestamp_ms=1000).get(60)
        return bool(sent.timestamp == 1000)

    try:
        until("timestamps of the producer", stamped)
    finally:
        producer.close()

"""The inference loop in this process, with a broker."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from jsonschema import Draft202012Validator
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from ray_jobs.inference.hour_buffer import hour64
from tests.raw_batches import GZIP, NotUtf8, RawRecord, batch, produce
from tests.ray_jobs.conftest import Feed, committed, predictions, serving
from tests.ray_jobs.windows import START, every, leading, windows_of
from tests.waiting import until
from weatherglass.record_schemas import json_schema
from weatherglass.records import Hour, Method
from weatherglass.settings import Settings
from weatherglass.topics import FEATURES, HOURS, INFERENCE_GROUP, PREDICTIONS, REJECTED

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)


def lag(settings: Settings) -> int | None:
    """The lag of the consumer group; None while it has no committed offsets."""
    consumer = KafkaConsumer(bootstrap_servers=settings.bootstrap_servers, group_id=INFERENCE_GROUP)
    try:
        partitions = [TopicPartition(FEATURES, n) for n in consumer.partitions_for_topic(FEATURES) or ()]
        offsets = {tp: consumer.committed(tp) for tp in partitions}
        ends = consumer.end_offsets(partitions)
        if all(offset is None for offset in offsets.values()):
            return None
        return sum(end - (offsets[tp] or 0) for tp, end in ends.items())
    finally:
        consumer.close()


def test_features_give_predictions_and_hours_and_invalid_records_are_rejected(
    serving_settings: Settings, feed: Feed
) -> None:
    bootstrap = serving_settings.bootstrap_servers
    invalid = {b"{": "malformed_json", b'{"station_id": 7}': "wrong_type", b"\xff\xfe": "malformed_json"}
    with serving(serving_settings):
        for value in invalid:
            feed.send_raw(value)
        feed.send(windows_of("new-york", {START: 1.0, START + 15 * MINUTE: 2.0}))
        feed.send([leading("unknown-station", START)])
        until("the predictions", lambda: len(predictions(bootstrap)) >= 2 and lag(serving_settings) == 0)
    records = committed(bootstrap)
    validator = Draft202012Validator(json_schema("prediction"))
    for record in records:
        assert not list(validator.iter_errors(json.loads(record.value)))
        assert dict(record.headers)["source"] == b"simulated"
    by_key = {(p.station_id, p.timestamp): p for p in predictions(bootstrap)}
    newest = by_key["new-york", START + 15 * MINUTE]
    assert newest.predictions.method is Method.PERSISTENCE
    assert newest.predictions.valid_times[0] == START + timedelta(hours=1)
    assert len(newest.predictions.valid_times) == 24
    assert newest.predictions.temperature[0] == pytest.approx(1.0), "the base hour is 12:00, not the reading"
    assert ("unknown-station", START) in by_key
    hours = {record.key: Hour.from_json(record.value) for record in committed(bootstrap, HOURS)}
    assert hours[b"new-york|2026-01-05T12:00:00Z"].temperature == pytest.approx(1.0)
    rejected = {record.value: dict(record.headers) for record in committed(bootstrap, REJECTED)}
    assert {value: about["reason"].decode() for value, about in rejected.items()} == invalid
    assert all(about["topic"] == FEATURES.encode() for about in rejected.values())


def test_a_new_process_restores_its_state_and_repeats_no_prediction(serving_settings: Settings, feed: Feed) -> None:
    """The hour in progress is computed from windows before and after the restart."""
    bootstrap = serving_settings.bootstrap_servers
    hour = START + timedelta(hours=1)
    before = windows_of("boston", {hour - 15 * MINUTE: 1.0, hour - 9 * MINUTE: 4.0})
    with serving(serving_settings):
        feed.send(windows_of("boston", dict.fromkeys(every(15, 0.5), 3.0)) + before)
        until("the end of the features", lambda: lag(serving_settings) == 0)
    first = predictions(bootstrap)
    with serving(serving_settings) as (service, _):
        assert service.grid is not None
        assert [station.station_id for station in service.grid.stations] == ["boston"]
        feed.send(before)  # a repeated batch
        feed.send(windows_of("boston", {hour: 7.0}))
        until("the end of the features", lambda: lag(serving_settings) == 0)
    after = predictions(bootstrap)
    assert [(p.station_id, p.timestamp) for p in after[len(first) :]] == [("boston", hour)]
    last = [Hour.from_json(r.value) for r in committed(bootstrap, HOURS) if r.key == b"boston|2026-01-05T13:00:00Z"][-1]
    assert (last.count, last.temperature) == (3, pytest.approx(4.0))


def test_shards_divide_the_partitions_and_share_their_hours(serving_settings: Settings, feed: Feed) -> None:
    settings = serving_settings.model_copy(update={"inference_actors": 2})
    bootstrap = settings.bootstrap_servers
    stations = ["new-york", "boston", "miami", "chicago", "denver", "seattle", "dallas", "atlanta"]
    with serving(settings, 0) as (one, _), serving(settings, 1) as (other, _):
        feed.send([leading(station, START) for station in stations])
        until("the end of the features", lambda: lag(settings) == 0)
        feed.send([leading(station, START + 15 * MINUTE) for station in stations])
        until("the predictions", lambda: len(predictions(bootstrap)) == 2 * len(stations))
        assert min(one.statistics.predictions, other.statistics.predictions) > 0
        grids = [service.grid for service in (one, other)]
    for grid in grids:
        assert grid is not None
        assert {station.station_id for station in grid.stations} == set(stations)
    keys = [(p.station_id, p.timestamp) for p in predictions(bootstrap)]
    assert len(set(keys)) == len(keys)
    assert {r.partition for r in committed(bootstrap, PREDICTIONS)} <= set(range(4))


def rejected(settings: Settings) -> list[tuple[str, int, str]]:
    """Topic, offset and reason of all copies of invalid records, sorted."""
    headers = [dict(record.headers) for record in committed(settings.bootstrap_servers, REJECTED)]
    return sorted((h["topic"].decode(), int(h["offset"]), h["reason"].decode()) for h in headers)


def an_hour(hour: datetime) -> bytes:
    values = dict.fromkeys(("temperature", "humidity", "pressure", "wind_u", "wind_v"), 1.0)
    return Hour(station_id="boston", hour=hour, count=1, **values).to_json()


def test_invalid_features_and_hours_are_copied_once_and_stop_nothing(serving_settings: Settings, feed: Feed) -> None:
    settings, bootstrap = serving_settings, serving_settings.bootstrap_servers
    invalid = [RawRecord(b"{", b"1"), RawRecord(b"a" * 3_000_000, b"2", [("source", None)])]
    undecodable = RawRecord(b"{}", b"3", [(NotUtf8("name"), b"")])
    out_of_range = [
        RawRecord(an_hour(datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=6)), b"4"),
        RawRecord(an_hour(START).replace(b"2026-01-05T12:00:00Z", b"9999-12-31T23:59:59-14:00"), b"5"),
    ]
    produce(bootstrap, HOURS, 0, batch([*invalid, undecodable, RawRecord(None, b"6"), *out_of_range], GZIP))
    produce(bootstrap, FEATURES, 1, batch([*invalid, undecodable, RawRecord(None, b"6")], GZIP))
    expected = [(FEATURES, 0, "malformed_json"), (FEATURES, 1, "malformed_json"), (FEATURES, 3, "empty")]
    expected += [(HOURS, 0, "malformed_json"), (HOURS, 1, "malformed_json"), (HOURS, 4, "future")]
    expected += [(HOURS, 5, "out_of_range")]
    with serving(settings) as (service, _):
        feed.send([leading("boston", START)])
        until("the end of the features", lambda: lag(settings) == 0)
        until("two that cannot be decoded", lambda: service.statistics.rejected == len(expected) + 2)
        assert service.grid is not None
        assert service.grid.hours[-1] == hour64(START)
    assert rejected(settings) == expected
    produce(bootstrap, HOURS, 0, batch([RawRecord(b"[]", b"7")]))
    with serving(settings):
        feed.send([leading("boston", START + 15 * MINUTE)])
        until("the predictions", lambda: len(predictions(bootstrap)) == 2)
    *before, (topic, _, reason) = rejected(settings)
    assert (before, topic, reason) == (expected, HOURS, "wrong_type")


def test_a_log_that_ends_before_the_committed_offset_is_read_on(serving_settings: Settings, feed: Feed) -> None:
    """An older copy of the log: what it contains was predicted before, what follows was not."""
    settings, bootstrap = serving_settings, serving_settings.bootstrap_servers
    stations = ("boston", "new-york", "miami", "denver")
    with serving(settings):
        feed.send([leading(station, START) for station in stations])
        until("the predictions", lambda: len(predictions(bootstrap)) == len(stations))
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=INFERENCE_GROUP, enable_auto_commit=False)
    partitions = [TopicPartition(FEATURES, n) for n in consumer.partitions_for_topic(FEATURES)]
    beyond = {}
    for tp in partitions:
        offset = consumer.committed(tp, metadata=True)
        beyond[tp] = OffsetAndMetadata(offset.offset + 1_000, offset.metadata, -1)
    consumer.commit(beyond)
    consumer.close()
    with serving(settings):
        feed.send([leading(station, START + 15 * MINUTE) for station in stations])
        until("the predictions", lambda: len(predictions(bootstrap)) >= 2 * len(stations))
        until("the end of the features", lambda: lag(settings) == 0)
    times = sorted((p.timestamp, p.station_id) for p in predictions(bootstrap))
    assert times == [(time, station) for time in (START, START + 15 * MINUTE) for station in sorted(stations)]

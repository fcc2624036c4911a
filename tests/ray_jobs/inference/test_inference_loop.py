"""The inference loop in this process, with a broker."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from jsonschema import Draft202012Validator
from kafka import KafkaConsumer, TopicPartition

from tests.ray_jobs.conftest import Feed, committed, predictions, serving
from tests.ray_jobs.windows import START, every, leading, windows_of
from tests.waiting import until
from weatherglass.records import Hour, Method, json_schema
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

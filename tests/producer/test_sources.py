"""Choice of the source of observations."""

from __future__ import annotations

import json

import pytest

from producer import sources
from producer.sources import observed_stations, resolve_source
from tests.producer.conftest import FakeApi, error_response, location, ok_response
from tests.waiting import until
from weatherglass.history.sources import SourceError
from weatherglass.record_headers import Origin
from weatherglass.settings import Settings, Source
from weatherglass.stations import Network, network_stations, observed_by

NO_SERVER = "http://127.0.0.1:1"
AIRPORT = ok_response([{"icaoId": "KJFK"}])


@pytest.fixture(autouse=True)
def generous_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a slow machine."""
    monkeypatch.setattr(sources, "PROBE_TIMEOUT_SECONDS", 120.0)


def auto(open_meteo: str, metar: str) -> Settings:
    return Settings(open_meteo_url=open_meteo, metar_url=metar)


def test_auto_remains_if_open_meteo_responds_whether_or_not_airports_do(fake_api: FakeApi) -> None:
    fake_api.responses = [ok_response(location())]
    choice = resolve_source(auto(fake_api.url, NO_SERVER))
    assert choice.source is Source.AUTO
    assert choice.problem is None
    assert fake_api.url in choice.description
    assert NO_SERVER in choice.description
    assert len(fake_api.queries) == 1


BAD_RESPONSES = pytest.mark.parametrize(
    ("response", "problem"),
    [
        (error_response(503, "The service is overloaded"), "503"),
        ((200, "<html>Sign in</html>"), "<html>"),
        (ok_response({"hello": 1}), "200"),
        (None, ""),
    ],
    ids=["error", "html", "other json", "timeout"],
)


@BAD_RESPONSES
def test_auto_is_the_replay_with_both_problems_if_nothing_else_can_be_used(
    fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch, response: tuple | None, problem: str
) -> None:
    monkeypatch.setattr(sources, "PROBE_TIMEOUT_SECONDS", 1.0 if response is None else 120.0)
    fake_api.responses = [response]
    choice = resolve_source(auto(fake_api.url, fake_api.url))
    assert choice.source is Source.REPLAY
    assert choice.problem is not None
    assert choice.problem.count(fake_api.url) >= 2
    assert problem in choice.problem
    assert choice.problem in choice.description
    until("the requests", lambda: len(fake_api.queries) == 2)  # a slow server receives them after the timeouts
    assert sorted(fake_api.paths) == ["/api/data/stationinfo", "/v1/forecast"]


@BAD_RESPONSES
def test_auto_is_metar_with_the_problem_if_only_airports_can_be_used(
    fake_api: FakeApi, response: tuple | None, problem: str
) -> None:
    if response is None:
        response = (504, "")
    fake_api.responses = [response, AIRPORT]
    choice = resolve_source(auto(fake_api.url, fake_api.url))
    assert choice.source is Source.METAR
    assert choice.problem is not None
    assert problem in choice.problem
    assert choice.description.startswith("WARNING")
    assert fake_api.user_agents[-1] == "weatherglass"


def test_auto_is_the_replay_if_no_server_can_be_reached() -> None:
    assert resolve_source(auto(NO_SERVER, NO_SERVER)).source is Source.REPLAY


def test_a_nan_beside_valid_data_does_not_make_open_meteo_unavailable(fake_api: FakeApi) -> None:
    fake_api.responses = [(200, json.dumps(location()).replace("39.746895", "-nan"))]
    assert resolve_source(auto(fake_api.url, NO_SERVER)).source is Source.AUTO


def test_without_a_station_of_the_source_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "observed_by", lambda *_: ())
    with pytest.raises(SourceError, match=r"stations\.csv.*open-meteo"):
        observed_stations(Settings(source=Source.OPEN_METEO))


@pytest.mark.parametrize("source", [Source.OPEN_METEO, Source.METAR, Source.REPLAY])
def test_a_configured_source_is_used_without_a_request(fake_api: FakeApi, source: Source) -> None:
    choice = resolve_source(Settings(source=source, open_meteo_url=fake_api.url))
    assert (choice.source, choice.problem) == (source, None)
    assert "WEATHERGLASS_SOURCE" in choice.description
    assert not fake_api.queries


def test_the_stations_follow_the_source() -> None:
    by_model, by_airport = (observed_by(Settings(), origin) for origin in (Origin.OPEN_METEO, Origin.METAR))
    assert observed_stations(Settings(source=Source.OPEN_METEO)) == by_model
    assert observed_stations(Settings(source=Source.METAR)) == by_airport
    assert observed_stations(Settings(source=Source.REPLAY)) == network_stations(Network.NYCFLIGHTS13)
    both = observed_stations(Settings(source=Source.AUTO))
    assert set(both) == {*by_model, *by_airport}
    assert len(both) == len(set(both))


def test_the_description_of_the_replay_has_share_and_setting_of_injected_faults() -> None:
    setting = "WEATHERGLASS_REPLAY_FAULTS"
    assert setting not in resolve_source(Settings(source=Source.REPLAY)).description
    description = resolve_source(Settings(source=Source.REPLAY, replay_faults=0.02)).description
    assert "2.0%" in description
    assert setting in description
    assert setting not in resolve_source(Settings(source=Source.OPEN_METEO, replay_faults=0.02)).description
